"""A model behind an OpenAI-compatible chat endpoint: a judge or an attacker that runs elsewhere, or beside us."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from ..errors import ModelError, SettingError
from ..types import Message

PATH = "/chat/completions"
PASSING = {408, 409, 425, 429, 500, 502, 503, 504}  # worth another try
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
LONGEST_WAIT_S = 60.0
LARGEST_ANSWER = 16 * 2**20  # bytes


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers over HTTP. The key is read when it is sent, and stands in no field, log or error.

    Args:
        url: base URL, such as http://127.0.0.1:8000/v1.
        model: the name that the server knows the model by.
        key_variable: environment variable that holds the key. Empty, or a variable that is not set: none is sent.
        timeout_s: of one try, for the connection and for each silence of the server.
        retries: further tries after an error that may pass: a busy or failing server, a lost connection, a timeout.
        wait_s: before the first further try; doubled for each next one, unless the server says how long to wait.

    Raises SettingError for a URL that cannot be used, or that a key would cross in clear.
    """

    url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"
    timeout_s: float = 60.0
    retries: int = 3
    wait_s: float = 1.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.username or parts.password:
            raise SettingError("the endpoint's URL holds a name or password. Put the key into key_variable's variable.")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingError(f"endpoint {self.url!r} is no http(s) URL. Write it like http://127.0.0.1:8000/v1.")
        if not self.model.strip():
            raise SettingError("the endpoint needs the name of a model. Ask its server for /models.")
        if self.timeout_s <= 0 or self.retries < 0 or self.wait_s < 0:
            raise SettingError(
                f"need timeout_s > 0, retries >= 0 and wait_s >= 0, got {self.timeout_s}, {self.retries} and "
                f"{self.wait_s}."
            )

    def chat(self, messages: Sequence[Message], max_tokens: int = 256, temperature: float = 0.0) -> str:
        """What the model answers to these turns. A refusal that the server marks as one is returned as its text.

        Raises ModelError, after the retries, with what the server said and what to do.
        """
        if not messages or max_tokens < 1 or temperature < 0:
            raise SettingError(
                f"need a message, max_tokens >= 1 and temperature >= 0, got {len(messages)} messages, {max_tokens} "
                f"and {temperature}."
            )
        turns = [{"role": m.role, "content": m.content} for m in messages]
        body = {"model": self.model, "messages": turns, "max_tokens": max_tokens, "temperature": temperature}
        return _content(self._answer(json.dumps(body).encode()), self.url)

    def _answer(self, body: bytes) -> bytes:
        key = self._key()
        request = Request(self._address(), data=body, headers={"Content-Type": "application/json"}, method="POST")
        if key:
            request.add_unredirected_header("Authorization", f"Bearer {key}")
        wait, told = self.wait_s, ""
        for tried in range(self.retries + 1):
            try:
                with self._opener().open(request, timeout=self.timeout_s) as answer:
                    return _read(answer, self.url)
            except HTTPError as error:
                told = f"it answered {error.code}: {_said(error, key)}"
                if error.code not in PASSING:
                    raise ModelError(f"{self.url}: {told} {self._advice(error.code)}") from None
                wait = min(LONGEST_WAIT_S, _asked_to_wait(error, wait))
            except TimeoutError:
                told = f"no answer within {self.timeout_s:g} s."
            except (URLError, HTTPException, OSError) as error:
                told = f"the connection failed: {getattr(error, 'reason', None) or error}."
            if tried < self.retries:
                time.sleep(wait)
                wait = min(LONGEST_WAIT_S, 2 * wait)
        raise ModelError(
            f"{self.url} gave no answer in {self.retries + 1} tries; at last {told} Check that the server runs and is "
            "not overloaded, or raise timeout_s or retries."
        )

    def _opener(self) -> OpenerDirector:
        """Proxies of the environment are used, but not for this machine itself: a key may go there in clear."""
        here = urlsplit(self.url).hostname in LOOPBACK
        return build_opener(_NoRedirect, *([ProxyHandler({})] if here else []))

    def _address(self) -> str:
        base = self.url.rstrip("/")
        return base if base.endswith(PATH) else base + PATH

    def _key(self) -> str:
        """Raises SettingError for a key that no header can hold, or that anyone on the way could read."""
        key = os.environ.get(self.key_variable, "").strip() if self.key_variable else ""
        if key and not (key.isascii() and key.isprintable()):
            raise SettingError(f"the key in {self.key_variable} holds signs that no header may hold. Set it again.")
        parts = urlsplit(self.url)
        if key and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise SettingError(
                f"the key in {self.key_variable} would cross the network in clear to {parts.hostname}. Use https, or "
                "an empty key_variable if this server needs no key."
            )
        return key

    def _advice(self, code: int) -> str:
        if code in (401, 403):
            return f"Put a valid key into the environment variable {self.key_variable or '(none was named)'}."
        if code == 404:
            return f"Check the URL (it should end in /v1 on most servers) and that it serves {self.model!r}."
        if 300 <= code < 400:
            return "It redirects; a key is not carried on. Give the final URL."
        return "Correct the request: the model's name, or how long messages and answer are."


def local_or_endpoint(text: str, what: str, key_variable: str = "OPENAI_API_KEY") -> str | Endpoint:
    """The model that a command names: of `local:MODEL` the name or directory, of `endpoint:URL#MODEL` the endpoint.

    Nothing is loaded or called yet. Raises SettingError for anything else; `what` it is the name of, such as a judge.
    """
    kind, _, rest = text.partition(":")
    if kind == "local" and rest:
        return rest
    url, _, model = rest.rpartition("#")
    if kind == "endpoint" and url and model:
        return Endpoint(url, model, key_variable)
    raise SettingError(
        f"{what} {text!r:.200} is not known. Write local:MODEL (a known model or a directory) or "
        f"endpoint:URL#MODEL, such as endpoint:http://127.0.0.1:8000/v1#my-{what}."
    )


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would carry the messages to a server that nobody named."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _read(answer: Any, url: str) -> bytes:
    raw = answer.read(LARGEST_ANSWER + 1)
    if len(raw) > LARGEST_ANSWER:
        raise ModelError(f"{url} answered with more than {LARGEST_ANSWER // 2**20} MiB. That is no chat completion.")
    return raw


def _content(raw: bytes, url: str) -> str:
    """The text of the first choice."""
    try:
        message = json.loads(raw)["choices"][0]["message"]
        text = message.get("content") or message.get("refusal") or ""
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        text = None
    if not isinstance(text, str):
        shown = _one_line(raw.decode("utf-8", "replace"))
        raise ModelError(
            f"{url} answered something that is no chat completion: {shown!r}. Give the base URL of an "
            "OpenAI-compatible server."
        )
    return text


def _said(error: HTTPError, key: str) -> str:
    """The server's own words, without the key if it repeats that."""
    try:
        raw = error.read(4096)
    except (OSError, HTTPException):
        raw = b""
    try:
        found = json.loads(raw)["error"]
        text = str(found["message"] if isinstance(found, dict) else found)
    except (ValueError, KeyError, TypeError):
        text = raw.decode("utf-8", "replace")
    text = _one_line(text.replace(key, "***") if key else text) or str(error.reason)
    return text if text.endswith(".") else text + "."


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]


def _asked_to_wait(error: HTTPError, wait: float) -> float:
    """Seconds of the header Retry-After where it gives such, else what was planned."""
    try:
        return max(0.0, float(error.headers.get("Retry-After", "")))
    except ValueError:
        return wait
