"""What can be checked of the page without a browser; and axe-core over it where node and axe-core are installed.

For axe: `npm install axe-core puppeteer-core` in a directory, and BUMPERLANE_AXE=that directory.
"""

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bumperlane.report.html import render_html, template
from report.cases import ALL, hostile

TEXT_COLOURS = ("ink", "soft", "bad", "warn", "good", "plain", "mark")
GROUNDS = ("paper", "wash")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Elements(HTMLParser):
    """Every element as (tag, attributes, text inside)."""

    def __init__(self, page):
        super().__init__()
        self.found, self.stack = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "attrs": dict(attrs), "text": "", "inside": [e["tag"] for e in self.stack]}
        self.found.append(element)
        if tag not in {"meta", "link", "br"}:
            self.stack.append(element)

    def handle_endtag(self, tag):
        assert self.stack.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.stack:
            element["text"] += data

    def of(self, *tags):
        return [e for e in self.found if e["tag"] in tags]


def colours(sheet):
    """Name -> colour, of each colour scheme: light, dark and print."""
    blocks = re.findall(r":root\s*{([^}]*)}", sheet)
    found = [dict(re.findall(r"--(\w+):\s*(#[0-9a-f]{3,6})", block)) for block in blocks]
    assert len(found) == 3
    return found


def luminance(colour):
    """Relative luminance by WCAG 2.2."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_what_the_standard_says_for_black_on_white():
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", [0, 1, 2])
def test_every_colour_of_text_stands_out_from_every_ground(scheme):
    found = colours(template("case.css"))[scheme]
    low = {(t, g): contrast(found[t], found[g]) for t in TEXT_COLOURS for g in GROUNDS}
    assert {pair: value for pair, value in low.items() if value < 4.5} == {}
    assert contrast(found["ink"], found["band"]) >= 4.5


@pytest.fixture(params=[*ALL, "hostile"])
def page(request):
    return Elements(render_html(hostile(ALL["treated"]()) if request.param == "hostile" else ALL[request.param]()))


def test_the_page_names_its_language_title_and_landmarks(page):
    assert page.of("html")[0]["attrs"]["lang"] == "en" and page.of("title")[0]["text"].strip()
    assert len(page.of("main")) == 1 and len(page.of("h1")) == 1
    ids = {e["attrs"].get("id") for e in page.found}
    for section in page.of("section"):
        assert section["attrs"]["aria-labelledby"] in ids


def test_no_id_stands_twice_and_headings_go_down_one_level_at_a_time(page):
    ids = [e["attrs"]["id"] for e in page.found if "id" in e["attrs"]]
    assert len(ids) == len(set(ids))
    levels = [int(e["tag"][1]) for e in page.of("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
    assert all(e["text"].strip() for e in page.of("h1", "h2", "h3"))


def test_every_table_has_headings_with_a_scope_and_every_drawing_a_text(page):
    for th in page.of("th"):
        assert th["attrs"].get("scope") in {"col", "row"} and th["text"].strip()
    for svg in page.of("svg"):
        assert svg["attrs"]["role"] == "img" and len(svg["attrs"]["aria-label"]) > 10
    assert all(e["text"].strip() for e in page.of("summary", "figcaption", "caption"))


def test_what_scrolls_can_be_reached_by_keyboard_and_has_a_name(page):
    for e in page.found:
        if "tabindex" in e["attrs"]:
            assert e["attrs"]["tabindex"] == "0" and e["attrs"].get("role") and e["attrs"]["aria-label"].strip()
    assert all("tabindex" in e["attrs"] for e in page.of("pre"))
    assert all("tabindex" in e["attrs"] for e in page.found if e["attrs"].get("class") in {"model", "scroll"})


def test_a_verdict_is_a_word_and_never_a_colour_alone(page):
    assert all(e["text"].strip() for e in page.found if "status" in (e["attrs"].get("class") or "").split())


def axe_modules():
    modules = Path(os.environ.get("BUMPERLANE_AXE", "")) / "node_modules"
    there = all((modules / name).is_dir() for name in ("axe-core", "puppeteer-core"))
    return modules if there and shutil.which("node") and CHROMIUM else None


@pytest.mark.skipif(axe_modules() is None, reason="needs node, chromium, and BUMPERLANE_AXE=a directory with axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_wrong_with_any_page(tmp_path, scheme):
    files = []
    for name, make in ALL.items():
        files.append(tmp_path / f"{name}.html")
        files[-1].write_text(render_html(make()), encoding="utf-8")
    script = Path(__file__).with_name("axe.cjs")
    done = subprocess.run(
        ["node", script, axe_modules(), CHROMIUM, scheme, *files], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-800:]
    assert json.loads(done.stdout) == []
