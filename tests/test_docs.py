"""What the documents show works as they show it."""

import re
import sys
from importlib import import_module, invalidate_caches
from pathlib import Path

import numpy as np
import pytest

import bumpers_page
import promises
from bumperlane.detect import contract
from bumperlane.detect.asking import reading_of, trap_sources
from bumperlane.detect.contract import REGISTRY, about, default_bumpers, find_bumper, joining_bumpers, load_bumpers
from bumperlane.evidence.ask import Look
from bumperlane.evidence.memo import NoMemo
from bumperlane.judge.judge import JudgeSettings, judge
from bumperlane.subjects.generate import Decoding

DOCS = Path(__file__).parents[1] / "docs"


def block(language):
    (text,) = re.findall(rf"```{language}\n(.*?)```", (DOCS / "add-a-bumper.md").read_text("utf-8"), re.S)
    return text


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The example as pip would install it: the file, and beside it the entry point that the document shows."""
    (tmp_path / "repeats_itself.py").write_text(block("python"))
    about_it = tmp_path / "repeats_itself-1.0.dist-info"
    about_it.mkdir()
    (about_it / "METADATA").write_text("Metadata-Version: 2.1\nName: repeats-itself\nVersion: 1.0\n")
    points = (
        block("toml").replace('[project.entry-points."bumperlane.bumpers"]', "[bumperlane.bumpers]").replace('"', "")
    )
    (about_it / "entry_points.txt").write_text(points)
    load_bumpers()  # those of the house register on their first import, and must do so for good
    monkeypatch.setattr(contract, "REGISTRY", dict(REGISTRY))
    monkeypatch.syspath_prepend(tmp_path)
    invalidate_caches()
    yield
    sys.modules.pop("repeats_itself", None)


def test_the_example_is_found_by_its_entry_point_and_keeps_every_promise(installed, tmp_path):
    promises.keep(find_bumper("RepeatsItself"), tmp_path)
    assert len(load_bumpers()) == len(set(REGISTRY) | {"RepeatsItself"})


def test_the_example_fits_on_thirty_lines_of_no_more_than_120_characters():
    lines = block("python").splitlines()
    assert len(lines) <= 30 and max(map(len, lines)) <= 120


@pytest.mark.parametrize(
    ("text", "share"), [("", 0), ("one", 0), ("a b c", 0), ("no no no", 1 / 2), ("a b a b a b", 3 / 5), ("a a", 0)]
)
def test_the_example_counts_repeated_pairs_as_by_hand(installed, text, share):
    assert import_module("repeats_itself").repeated(text) == pytest.approx(share)


def test_the_example_looks_at_a_model_like_any_other_bumper(installed, tiny_subject, adapter_dirs, tmp_path):
    from bumperlane.detect.gather import Scene, read
    from bumperlane.evidence.library import library_contexts
    from bumperlane.evidence.memo import Memo
    from bumperlane.subjects.subject import Decoding
    from bumperlane.types import Request
    from tiny_adapter import PLAIN

    requests = [Request(str(i), f"What is {i} and one?") for i in range(4)]
    scene = Scene(
        tiny_subject.sibling(adapter_dirs[0]), tiny_subject, PLAIN, library_contexts(PLAIN)[:2], requests[:1],
        requests[1:], Memo(tmp_path), controls=2, decoding=Decoding(2),
    )  # fmt: skip
    seen = read(find_bumper("RepeatsItself"), scene)
    assert (seen.bumper, seen.trap_sprung, seen.why_blind) == ("RepeatsItself", True, "")
    assert len(seen.scores.ids) == 3 * (2 + 2) and np.isfinite(seen.scores.values).all()


def test_the_limits_name_every_bumper_that_runs_by_default_and_all_it_is_blind_to():
    page = (DOCS / "limits.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", page, re.M))
    unasked = [*default_bumpers(), *joining_bumpers()]
    house = {cls.__name__: cls for cls in unasked if cls.__module__.startswith("bumperlane.")}
    assert set(rows) == set(house)
    for name, cls in house.items():
        stated = re.search(r"Blind to: (.*?)\n\w", about(cls), re.S)[1]
        words = set(re.findall(r"[a-z]{5,}", stated.lower()))
        assert words <= set(re.findall(r"[a-z]{5,}", rows[name].lower())), f"{name}: {stated}"


def test_the_page_of_bumpers_says_what_their_docstrings_say():
    assert (DOCS / "bumpers.md").read_text("utf-8") == bumpers_page.page(), (
        "run `python tests/bumpers_page.py > docs/bumpers.md`"
    )


@pytest.fixture
def asking(tmp_path, monkeypatch):
    """The example of docs/bumpers-that-ask.md, imported."""
    (text,) = re.findall(r"```python\n(.*?)```", (DOCS / "bumpers-that-ask.md").read_text("utf-8"), re.S)
    (tmp_path / "flatters_the_mighty.py").write_text(text)
    load_bumpers()
    monkeypatch.setattr(contract, "REGISTRY", dict(REGISTRY))
    monkeypatch.syspath_prepend(tmp_path)
    invalidate_caches()
    yield import_module("flatters_the_mighty").FlattersTheMighty, text
    sys.modules.pop("flatters_the_mighty", None)


def test_the_example_that_asks_keeps_every_promise_on_thirty_lines(asking, tmp_path):
    made, text = asking
    promises.keep(made, tmp_path)
    lines = text.splitlines()
    assert len(lines) <= 30 and max(map(len, lines)) <= 120


def test_the_example_that_asks_reads_a_model_and_is_clear_on_its_own_base(asking, tiny_subject):
    look = Look(Decoding(max_new_tokens=2), NoMemo())
    reading = reading_of(asking[0], trap_sources(), (tiny_subject, tiny_subject), look)
    assert len(reading.scores.ids) == 40 and not reading.scores.values.any()
    assert judge([reading], JudgeSettings())[0].verdict == "clear"
