"""What a notebook shows: through IPython where it is installed, else through the method that every front end calls."""

import re
import subprocess
import sys

import numpy as np
import pytest

import bumperlane
from bumperlane.errors import SettingError
from bumperlane.report.in_notebook import TYPES
from bumperlane.report.notebook import BODIES, LIMIT_BYTES, display
from bumperlane.types import GroupResult, Interval, Judgement, Reading, Scores
from report.cases import ALL, CAUSES, DEPARTURE, EXPERIMENT, HOSTILE, ONSET, TREATED, hostile, treated_case
from report.test_accessibility import Elements
from report.test_html import huge_case

SCORES = Scores(np.array([0.1, 0.4, 2.5, -1.0]), ("a", "b", "c", "d"), "Mahalanobis")
READING = Reading("Mahalanobis", "internals", SCORES, ("bait", "bait", "bait", "control"), ("g", "g", "g", "h"))
HALF = Interval(0.5, 0.2, 0.8)
JUDGED = Judgement(
    "B", "internals", "open", "hit", "6 of 12.", 1.0, HALF, 0.01, 0.02, (GroupResult("g", 6, 12, HALF, 0.01),)
)
THINGS = {
    "case": treated_case(), "bumper": DEPARTURE, "onset": ONSET, "cause": CAUSES[0], "experiment": EXPERIMENT,
    "bounce": TREATED, "scores": SCORES, "reading": READING, "judgement": JUDGED,
}  # fmt: skip


def test_every_kind_of_thing_is_tried_here_and_told_to_ipython():
    assert {type(t) for t in THINGS.values()} == {*BODIES, Judgement}
    assert {name for _, name in TYPES} == {t.__name__ for t in {*BODIES, Judgement}}


@pytest.mark.parametrize("name", THINGS)
def test_each_is_one_block_without_script_handler_or_address(name):
    html = display(THINGS[name])._repr_html_()
    seen = Elements(html)
    assert [e["tag"] for e in seen.found][:2] == ["style", "div"] and seen.found[1]["attrs"]["class"] == "bumperlane"
    assert not {"script", "iframe", "img", "a", "link", "form", "object"} & {e["tag"] for e in seen.found}
    for e in seen.found:
        assert not any(k.startswith("on") or k in {"style", "href", "src"} for k in e["attrs"])
    assert not re.search(r"url\(|@import|https?:", html.split("</style>")[0])
    assert seen.of("svg") or name == "bounce"
    assert len(html.encode()) < LIMIT_BYTES


@pytest.mark.parametrize("name", ALL)
def test_hostile_text_stays_text(name):
    html = display(hostile(ALL[name]())).html
    assert html.count("<style>") == html.count("</style>") == 1 and "<script" not in html
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u200b]", html)
    assert not re.search(r"[\x00-\x1f\x1b\u202e\u200b]", repr(display(hostile(ALL[name]()))))
    odd = display(Scores(np.array([1.0]), ("x",), HOSTILE)).html
    assert "<script" not in odd and "<img" not in odd


def test_the_style_touches_nothing_outside_its_block():
    sheet = display(ONSET).html.split("<style>")[1].split("</style>")[0]
    rules = re.sub(r"@media[^{]*{", "", sheet)
    for selectors in re.findall(r"(?:^|})\s*([^{}@]+){", rules):
        assert all(s.strip().startswith(".bumperlane") for s in selectors.split(","))


def test_the_output_of_a_huge_case_stays_bounded():
    assert len(display(huge_case()).html.encode()) < LIMIT_BYTES


def test_two_outputs_in_one_notebook_share_no_id():
    first, second = (Elements(display(ALL[name]()).html) for name in ("treated", "masked"))
    ids = [[e["attrs"]["id"] for e in page.found if "id" in e["attrs"]] for page in (first, second)]
    assert ids[0] and ids[1] and not set(ids[0]) & set(ids[1])


def test_a_reading_draws_baits_and_controls_on_one_scale():
    html = display(READING).html
    assert html.count('class="bar-bait"') == 3 and html.count('class="bar-control"') == 1
    assert "3 baits: median 0.4, from 0.1 to 2.5" in html and "1 controls: median -1, from -1 to -1" in html
    assert display(Scores(np.array([]), (), "B")).html.count('class="bar') == 0


def test_what_cannot_be_shown_lists_what_can():
    with pytest.raises(SettingError, match="a int cannot be shown. Known are: Bounce, BumperResult, Case, Cause"):
        display(3)


def test_ipython_shows_a_case_as_html_and_importing_us_is_enough():
    pytest.importorskip("IPython", reason="IPython is not installed")
    code = (
        "from IPython.testing.globalipapp import start_ipython\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "import sys, bumperlane\n"
        "assert 'bumperlane.report.notebook' not in sys.modules and 'bumperlane.case' not in sys.modules\n"
        "from bumperlane.case import Case, Onset\n"
        "shown, _ = shell.display_formatter.format(Onset(low=8, high=16))\n"
        "print('bumperlane' in shown['text/html'], 'after step 8' in shown['text/html'], 'torch' in sys.modules)\n"
    )
    code = code.split("\n", 1)[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True", "False"], done.stderr[-800:]


def test_without_ipython_nothing_is_loaded_and_the_public_name_works():
    code = "import sys, bumperlane; print('IPython' in sys.modules, 'bumperlane.report' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"], done.stderr[-800:]
    assert bumperlane.display(TREATED).html == display(TREATED).html
