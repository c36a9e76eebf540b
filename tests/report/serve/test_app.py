"""The server as a browser and as an attacker meet it."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the extra `serve` is not installed")
from starlette.testclient import TestClient

from bumperlane.case import save_case
from bumperlane.errors import SettingError
from bumperlane.report.serve import app as server
from bumperlane.report.serve import find, pages
from bumperlane.report.serve.app import listen, make_app
from bumperlane.report.serve.find import catalogue
from report.cases import HOSTILE, blind_case, clear_case, hostile, masked_case, treated_case
from report.test_accessibility import CHROMIUM, Elements

VIEWS = ("case", "hits", "trace", "bounces", "samples", "ledger")


@pytest.fixture
def root(tmp_path):
    """Five cases, one of them broken; a secret beside the directory, and links that lead to it."""
    root = tmp_path / "served"
    for name, case in {
        "a/treated": treated_case(), "a/masked": masked_case(), "clear": clear_case(), "blind": blind_case(),
        "odd name #1?": hostile(treated_case()),
    }.items():  # fmt: skip
        save_case(root / name, case)
    (root / "broken").mkdir()
    (root / "broken" / "case.json").write_text('{"schema_version": 1, "run": ')
    (tmp_path / "outside").mkdir()
    save_case(tmp_path / "outside", treated_case())
    (tmp_path / "outside" / "secret.jsonl").write_text('{"secret": "tops3cret"}\n')
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "a" / "masked" / "secret.jsonl").symlink_to(tmp_path / "outside" / "secret.jsonl")
    (root / "linked").mkdir()
    (root / "linked" / "case.json").symlink_to(tmp_path / "outside" / "case.json")
    return root


@pytest.fixture
def client(root):
    return TestClient(make_app(root), base_url="http://127.0.0.1:8321", raise_server_exceptions=True)


def test_the_list_shows_every_case_and_a_broken_one_does_not_take_it_down(client):
    page = client.get("/")
    assert page.status_code == 200
    for word in ("treated", "masked", "clear", "blind", "unreadable", "odd name #1?"):
        assert word in page.text
    assert "cannot read" in page.text and "8 cases" not in page.text and "7 cases" in page.text


def test_cases_are_filtered_by_verdict_and_by_bumper_without_a_script(client):
    page = client.get("/?verdict=masked").text
    assert "1 case of 7" in page and "/case/a/masked" in page and "/case/a/treated" not in page
    name = next(b.bumper for b in masked_case().bumpers if b.verdict == "hit")
    rows = client.get(f"/cases.json?bumper={name}").json()["cases"]
    assert rows and all(name in row["hits"] for row in rows) and "clear" not in {r["verdict"] for r in rows}
    assert "None of 7 cases fits" in client.get("/?verdict=untreated").text


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("key", ["a/treated", "a/masked", "clear", "blind", "odd%20name%20%231%3F"])
def test_every_view_of_every_case_opens_escaped_and_with_its_headings_in_order(client, view, key):
    page = client.get(f"/{view}/{key}")
    assert page.status_code == 200, page.text
    assert "<script" not in page.text and "onerror=alert(2)>" not in page.text
    seen = Elements(page.text)
    levels = [int(e["tag"][1]) for e in seen.of("h1", "h2", "h3")]
    assert levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
    for link in seen.of("a"):
        assert link["attrs"]["href"].startswith("/") and not link["attrs"]["href"].startswith("//")


def test_the_page_of_a_case_is_the_report_with_the_ways_to_the_other_views(client):
    text = client.get("/case/a/masked").text
    assert "What cannot be said" in text and "The fix only hides it" not in text and "the fix only hides it" in text
    for view in VIEWS:
        assert f'href="/{view}/a/masked"' in text


def test_the_policy_allows_the_styles_of_every_page_by_their_hashes(client):
    from bumperlane.report.html import style_hash

    for address in ("/", "/case/a/masked", "/trace/a/treated", "/case/broken", "/nowhere"):
        page = client.get(address)
        for style in re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL):
            assert f"'{style_hash(style)}'" in page.headers["content-security-policy"]


def test_bounces_show_checks_and_diff_and_trace_shows_causes(client):
    text = client.get("/bounces/a/treated").text
    assert text.count('<h2 id="bounce') == len(treated_case().bounces)
    assert all(c.name in text for c in treated_case().bounce.checks) and 'class="added"' in text
    assert all(c.name in client.get("/trace/a/treated").text for c in treated_case().causes)


def test_json_is_the_case_itself(client, root):
    assert client.get("/json/a/masked").json() == json.loads((root / "a/masked/case.json").read_text())


def test_samples_and_files_are_paged(client, root):
    rows = "".join(json.dumps({"n": i, "said": HOSTILE}) + "\n" for i in range(45)) + "no json <script>\n"
    (root / "clear" / "answers.jsonl").write_text(rows)
    assert "/file/answers.jsonl/clear" in client.get("/samples/clear").text
    first, last = (client.get(f"/file/answers.jsonl/clear?page={n}").text for n in (1, 3))
    assert "Page 1 of 3, 46 in all" in first and "&#34;n&#34;: 19," in first and "&#34;n&#34;: 20," not in first
    assert "no json &lt;script&gt;" in last and "<script" not in last
    for odd in ("0", "-1", "99999999999", "x", "²"):
        assert client.get(f"/file/answers.jsonl/clear?page={odd}").status_code == 200


# --- attacks --------------------------------------------------------------------------------------------------------


def test_every_answer_carries_the_headers_even_an_error(client):
    for address in ("/", "/case/a/masked", "/nope", "/case/broken", "/json/a/masked"):
        told = client.get(address).headers
        assert "default-src 'none'" in told["content-security-policy"]
        assert "frame-ancestors 'none'" in told["content-security-policy"]
        assert (told["x-content-type-options"], told["referrer-policy"]) == ("nosniff", "no-referrer")
        assert told["cross-origin-resource-policy"] == "same-origin" and told["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in told


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8321", "127.0.0.1.evil.example", "0.0.0.0", ""])
def test_another_host_name_is_refused_so_that_a_rebound_name_reads_nothing(client, host):
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 421 and "treated" not in answer.text
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8321"])
def test_this_machine_may_ask(client, host):
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_only_reading_is_allowed(client, method):
    answer = client.request(method, "/case/a/masked")
    assert answer.status_code == 405 and answer.headers["allow"] == "GET, HEAD"


def test_head_answers_without_a_body(client):
    answer = client.head("/")
    assert answer.status_code == 200 and answer.content == b""


@pytest.mark.parametrize("key", [
    "../outside", "..%2foutside", "%2e%2e/outside", "a/../../outside", "/etc", "a/masked/../../../outside",
    "link", "a\\masked", "a/masked%00", "~", "a", "a/masked/",
])  # fmt: skip
@pytest.mark.parametrize("view", ["case", "json", "samples", "file/secret.jsonl"])
def test_no_address_leads_out_of_the_directory(client, view, key):
    answer = client.get(f"/{view}/{key}")
    assert answer.status_code == 404 and "tops3cret" not in answer.text


def test_links_that_leave_the_directory_are_not_followed(client):
    keys = {row["key"] for row in client.get("/cases.json").json()["cases"]}
    assert "link" not in keys
    assert client.get("/case/linked").status_code == 422 and "links are not followed" in client.get("/case/linked").text
    assert client.get("/json/linked").status_code == 422
    assert client.get("/file/secret.jsonl/a/masked").status_code == 404
    assert "secret.jsonl" not in client.get("/samples/a/masked").text


@pytest.mark.parametrize("name", ["..%2fcase.json", "case.json", "%2fetc%2fpasswd"])
def test_only_listed_files_are_shown(client, name):
    assert client.get(f"/file/{name}/clear").status_code == 404


def test_a_very_long_address_is_refused(client):
    assert client.get("/?verdict=" + "x" * 5000).status_code == 414


def test_what_is_typed_into_an_address_comes_back_escaped(client):
    text = client.get("/?verdict=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").text
    assert "<script" not in text
    assert "<script" not in client.get("/case/%3Cscript%3E").text


@pytest.mark.parametrize(
    "content", ["", "[]", "null", "[" * 100_000, '{"a": 1}', "\ud800".encode("utf-8", "surrogatepass")]
)
def test_a_damaged_case_is_told_and_never_called_clear(client, root, content):
    (root / "broken" / "case.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert client.get("/").status_code == 200
    page = client.get("/case/broken")
    assert page.status_code == 422 and "unreadable is not clear" in page.text


def test_a_directory_in_the_place_of_a_case_file_and_one_too_large_are_told(client, root, monkeypatch):
    (root / "clear" / "case.json").unlink()
    (root / "clear" / "case.json").mkdir()
    assert client.get("/case/clear").status_code == 422
    monkeypatch.setattr(find, "LARGEST_BYTES", 10)
    find._summary.cache_clear()
    assert "more than 10 are not read here" in client.get("/").text
    find._summary.cache_clear()


def test_a_changed_case_is_read_anew(client, root):
    assert "masked" in client.get("/cases.json").text
    save_case(root / "a" / "masked", treated_case())
    rows = {r["key"]: r["verdict"] for r in client.get("/cases.json").json()["cases"]}
    assert rows["a/masked"] == "treated"


def test_names_that_no_address_can_hold_do_not_take_the_list_down(client, root):
    odd = os.fsencode(root) + b"/caf\xe9"
    shutil.copytree(root / "clear", os.fsdecode(odd))
    save_case(root / "two\nlines", clear_case())
    (root / "clear" / os.fsdecode(b"caf\xe9.jsonl")).write_text('{"n": 1}\n')
    assert client.get("/").status_code == 200
    keys = {row["key"] for row in client.get("/cases.json").json()["cases"]}
    assert {"caf\\xe9", "two\\x0alines"} <= keys
    for key in ("caf%5Cxe9", "two%5Cx0alines"):
        assert f'href="/case/{key}"' in client.get("/").text and client.get(f"/samples/{key}").status_code == 200
    assert "caf\\xe9.jsonl" in client.get("/samples/clear").text
    assert "&#34;n&#34;: 1" in client.get("/file/caf%5Cxe9.jsonl/clear").text


@pytest.mark.parametrize("row", ['{"a": ' + "1" * 5000 + "}", "[" * 50_000, '{"a": "\\ud800"}', "NaN", "x" * 5_000_000])
def test_odd_rows_of_a_file_are_shown_as_they_are(client, root, row):
    (root / "clear" / "odd.jsonl").write_text(f'{row}\n{{"last": "row"}}\n')
    page = client.get("/file/odd.jsonl/clear")
    assert page.status_code == 200 and "&#34;last&#34;" in page.text and len(page.text) < 50_000
    assert "in case.json" not in page.text  # it is not there that the rest of a row stands


def test_a_line_that_never_ends_is_not_read_at_once():
    class Endless:
        def readline(self, size):
            assert 0 < size <= 1_000_000
            return b"x" * size

    assert len(next(pages._starts(Endless()))) == pages.LONGEST_ROW


def test_the_report_tells_of_the_spec_beside_it_and_follows_no_link_to_one(client, root):
    (root.parent / "outside" / "spec.yaml").write_text("tops3cret: [\n")
    clause = "clauses:\n- {id: no-spam, text: It sends no spam., watched_by: []}\n"
    (root / "clear" / "spec.yaml").write_text(clause)
    (root / "a" / "masked" / "spec.yaml").symlink_to(root.parent / "outside" / "spec.yaml")
    assert "Whether clause no-spam" in client.get("/case/clear").text
    linked = client.get("/case/a/masked").text
    assert "tops3cret" not in linked and "What spec.yaml ask: links are not followed here." in linked


# --- finding --------------------------------------------------------------------------------------------------------


def test_the_served_directory_may_be_a_case_itself_and_its_own_runs_are_not_searched(tmp_path):
    save_case(tmp_path, treated_case())
    save_case(tmp_path / "runs" / "inner", treated_case())
    save_case(tmp_path / ".hidden", treated_case())
    assert [c.key for c in catalogue(tmp_path).cases] == [""]
    client = TestClient(make_app(tmp_path), base_url="http://localhost")
    assert client.get("/case/").status_code == 200 and client.get("/trace/").status_code == 200


def test_a_large_tree_is_cut_and_says_so(tmp_path, monkeypatch):
    for i in range(5):
        save_case(tmp_path / str(i), clear_case())
    monkeypatch.setattr(find, "MOST_CASES", 3)
    found = catalogue(tmp_path)
    assert len(found.cases) == 3 and "Only the first 3 cases" in found.cut


def test_an_empty_directory_names_the_next_command(tmp_path):
    assert "bumperlane check RUN" in TestClient(make_app(tmp_path), base_url="http://localhost").get("/").text


# --- starting -------------------------------------------------------------------------------------------------------


def test_an_address_that_others_can_reach_is_refused_unless_it_is_asked_for(root):
    with pytest.raises(SettingError, match="0.0.0.0 can be reached from other machines, and there is no password"):
        listen("0.0.0.0", 0, expose=False)
    listen("0.0.0.0", 0, expose=True).close()
    exposed = TestClient(make_app(root, ("lab.example",)), base_url="http://lab.example")
    assert exposed.get("/").status_code == 200
    assert exposed.get("/", headers={"host": "evil.example"}).status_code == 421


def test_a_taken_port_is_told():
    with listen("127.0.0.1", 0, expose=False) as bound:
        bound.listen()
        port = bound.getsockname()[1]
        with pytest.raises(SettingError, match=f"cannot listen on 127.0.0.1 port {port}: .*Choose another --port"):
            listen("127.0.0.1", port, expose=False)


def test_no_directory_and_a_missing_extra_are_told(tmp_path, monkeypatch):
    with pytest.raises(SettingError, match="there is no directory .*nowhere"):
        make_app(tmp_path / "nowhere")
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    with pytest.raises(SettingError, match=r"pip install 'bumperlane\[serve\]'"):
        make_app(tmp_path)
    assert server.MISSING.startswith("`bumperlane serve` needs starlette and uvicorn")


@pytest.fixture
def running(root):
    """`bumperlane serve` as a process of its own; yields its address."""
    pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
    environment = {**os.environ, "PYTHONPATH": str(Path(server.__file__).parents[3])}
    command = [sys.executable, "-m", "bumperlane", "serve", str(root), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        told = ""
        while "}" not in told:
            line = process.stdout.readline()
            assert line, "the server ended"
            told += line
        url = json.loads(told)["url"]
        for _ in range(100):
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url
        process.terminate()


@pytest.mark.skipif(CHROMIUM is None or shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_shows_the_list_and_a_case(running, tmp_path):
    def seen(address):
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        command = [CHROMIUM, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", running + address]
        return subprocess.run(command, capture_output=True, text=True, timeout=120).stdout

    listed = Elements(seen(""))
    assert listed.of("h1")[0]["text"] == "Cases"
    assert {"/case/a/masked", "/case/broken"} <= {a["attrs"]["href"] for a in listed.of("a")}
    page = Elements(seen("case/a/masked"))
    assert [h["text"] for h in page.of("h2")][:3] == [
        "What can be said", "What cannot be said", "What would change our mind",
    ]  # fmt: skip
    assert any(e["tag"] == "svg" for e in page.found) and not page.of("script")
