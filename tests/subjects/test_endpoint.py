import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from bumperlane.errors import ModelError, SettingError
from bumperlane.subjects.endpoint import Endpoint
from bumperlane.types import Message

KEY = "sk-secret-1234567890"
HELLO = [Message("system", "Be brief."), Message("user", "Hi")]


def said(text):
    return 200, {"choices": [{"message": {"role": "assistant", "content": text}}]}


class Stub:
    """A server on this machine that gives written-down answers in turn, the last one for ever."""

    def __init__(self, *answers, headers=(), delay_s=0.0):
        self.answers, self.seen = list(answers), []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                stub.seen.append((self.path, dict(self.headers), json.loads(body)))
                time.sleep(delay_s)
                code, value = stub.answers.pop(0) if len(stub.answers) > 1 else stub.answers[0]
                raw = value if isinstance(value, bytes) else json.dumps(value).encode()
                try:
                    self.send_response(code)
                    for name, text in headers:
                        self.send_header(name, text)
                    self.send_header("Content-Length", str(len(raw)))
                    self.end_headers()
                    self.wfile.write(raw)
                except BrokenPipeError:
                    pass  # the client had given up

            def log_message(self, *args):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("TEST_KEY", KEY)
    return "TEST_KEY"


def test_sends_the_turns_and_returns_what_is_said(key):
    with Stub(said("Hello.")) as stub:
        answer = Endpoint(stub.url, "tiny", key).chat(HELLO, max_tokens=7, temperature=0.5)
    path, headers, body = stub.seen[0]
    assert answer == "Hello."
    assert path == "/v1/chat/completions" and headers["Authorization"] == f"Bearer {KEY}"
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("tiny", 7, 0.5)


def test_takes_a_url_that_names_the_whole_path(key):
    with Stub(said("Yes")) as stub:
        assert Endpoint(stub.url + "/chat/completions", "tiny", key).chat(HELLO) == "Yes"
    assert stub.seen[0][0] == "/v1/chat/completions"


def test_without_a_key_none_is_sent(monkeypatch):
    monkeypatch.delenv("TEST_KEY", raising=False)
    with Stub(said("Yes")) as stub:
        Endpoint(stub.url, "tiny", "TEST_KEY").chat(HELLO)
        Endpoint(stub.url, "tiny", "").chat(HELLO)
    assert all("Authorization" not in headers for _, headers, _ in stub.seen)


def test_a_busy_server_is_asked_again_with_growing_waits(key, monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with Stub((429, {}), (503, {}), said("At last")) as stub:
        assert Endpoint(stub.url, "tiny", key, wait_s=0.5).chat(HELLO) == "At last"
    assert len(stub.seen) == 3 and [w for w in waits if w] == [0.5, 1.0]


def test_waits_as_long_as_the_server_asks_but_no_longer_than_a_minute(key, monkeypatch):
    for asked, waited in (("2", 2.0), ("9999", 60.0)):
        waits = []
        monkeypatch.setattr(time, "sleep", waits.append)
        with Stub((429, {}), said("Yes"), headers=[("Retry-After", asked)]) as stub:
            Endpoint(stub.url, "tiny", key).chat(HELLO)
        assert [w for w in waits if w] == [waited]


def test_gives_up_after_the_retries_and_says_so(key):
    with Stub((503, {"error": {"message": "overloaded"}})) as stub:
        with pytest.raises(ModelError, match=r"no answer in 3 tries.*503: overloaded\. Check that the server runs"):
            Endpoint(stub.url, "tiny", key, retries=2, wait_s=0).chat(HELLO)
    assert len(stub.seen) == 3


def test_a_wrong_key_is_not_tried_again_and_never_shown(key):
    told = {"error": {"message": "x" * 150 + f" Incorrect API key provided: {KEY} " + "x" * 90}}
    with Stub((401, told)) as stub:
        endpoint = Endpoint(stub.url, "tiny", key)
        with pytest.raises(ModelError, match="valid key into the environment variable TEST_KEY") as caught:
            endpoint.chat(HELLO)
    assert len(stub.seen) == 1
    assert "sk-" not in str(caught.value) + repr(endpoint) and "***" in str(caught.value)


def test_a_key_with_a_line_break_inside_is_refused_without_showing_it(monkeypatch):
    monkeypatch.setenv("TEST_KEY", "sk-one\nsk-two")
    with pytest.raises(SettingError, match="no header may hold") as caught:
        Endpoint("http://127.0.0.1:9/v1", "tiny", "TEST_KEY").chat(HELLO)
    assert "sk-" not in str(caught.value)


def test_a_key_is_not_sent_in_clear_to_another_machine(key):
    with pytest.raises(SettingError, match="cross the network in clear to gpu-box. Use https"):
        Endpoint("http://gpu-box:8000/v1", "tiny", key).chat(HELLO)


def test_a_redirect_is_not_followed(key):
    with Stub(said("stolen")) as other, Stub((302, {}), headers=[("Location", other.url)]) as stub:
        with pytest.raises(ModelError, match="Give the final URL"):
            Endpoint(stub.url, "tiny", key).chat(HELLO)
    assert other.seen == []


def test_a_silent_server_is_left_after_the_time_out(key):
    with Stub(said("late"), delay_s=0.6) as stub:
        with pytest.raises(ModelError, match=r"no answer within 0.1 s"):
            Endpoint(stub.url, "tiny", key, timeout_s=0.1, retries=0).chat(HELLO)


def test_says_that_nobody_listens():
    with Stub(said("")) as stub:
        url = stub.url
    with pytest.raises(ModelError, match="the connection failed.*Check that the server runs"):
        Endpoint(url, "tiny", "", retries=1, wait_s=0).chat(HELLO)


@pytest.mark.parametrize("value", [b"<html>", {"choices": []}, {"choices": [{"message": {"content": [1]}}]}, []])
def test_refuses_what_is_no_chat_completion(value):
    with Stub((200, value)) as stub:
        with pytest.raises(ModelError, match="no chat completion"):
            Endpoint(stub.url, "tiny", "").chat(HELLO)


def test_a_marked_refusal_is_its_text_and_nothing_is_empty():
    refusal = 200, {"choices": [{"message": {"content": None, "refusal": "I cannot do that."}}]}
    nothing = 200, {"choices": [{"message": {"content": None}}]}
    with Stub(refusal, nothing) as stub:
        endpoint = Endpoint(stub.url, "tiny", "")
        assert [endpoint.chat(HELLO), endpoint.chat(HELLO)] == ["I cannot do that.", ""]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"url": "127.0.0.1:8000"}, "no http"),
        ({"url": "http://me:word@host/v1"}, "holds a name or password"),
        ({"model": " "}, "name of a model"),
        ({"timeout_s": 0}, "timeout_s > 0"),
    ],
)
def test_refuses_settings_that_cannot_work(given, told):
    with pytest.raises(SettingError, match=told) as caught:
        Endpoint(**{"url": "http://127.0.0.1:1/v1", "model": "tiny", **given})
    assert "word" not in str(caught.value) or "password" in str(caught.value)


def test_refuses_to_ask_nothing():
    with pytest.raises(SettingError, match="need a message"):
        Endpoint("http://127.0.0.1:1/v1", "tiny").chat([])
