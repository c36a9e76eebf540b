"""Annotations and job summaries: what is marked how, and that no text of a model can forge either."""

import re

import pytest

from bumperlane.case import Behaviour
from bumperlane.report.forms import FORMS, rendered
from bumperlane.report.github import command, to_github, to_summary, write_summary
from bumperlane.report.sentences import contradiction
from report.cases import (
    ALL,
    DEPARTURE,
    HOSTILE,
    blind_case,
    check_only_case,
    clear_case,
    masked_case,
    treated_case,
)  # fmt: skip

LINE = re.compile(r"^::(error|warning|notice) (file=[^:,]+,)?title=[^:,]+::.+$")


def levels(case):
    """(level, title) of each annotation."""
    return [re.match(r"::(\w+) .*?title=([^:,]*)::", line).groups() for line in to_github(case).splitlines()]


@pytest.fixture(autouse=True)
def outside(monkeypatch, tmp_path):
    """No job of GitHub's, and a working directory of its own."""
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_hit_is_an_error_and_blind_a_warning_and_clear_bumpers_are_not_marked():
    assert levels(check_only_case()) == [("error", "ContextDeparture%3A hit"), ("warning", "RewardHackShape%3A blind")]


def test_a_blind_case_is_never_silent_and_never_a_notice():
    for case in (blind_case(), blind_case().model_copy(update={"bumpers": []})):
        assert [level for level, _ in levels(case)] == ["warning"]


def test_a_clear_case_is_a_notice_that_says_what_it_does_not_show():
    case = clear_case().model_copy(update={"bumpers": [b for b in clear_case().bumpers if b.verdict == "clear"]})
    assert levels(case) == [("notice", "bumperlane%3A clear")] and "does not show that nothing is there" in to_github(
        case
    )


@pytest.mark.parametrize(
    ("verdict", "level"),
    [
        ("treated", "notice"),
        ("inconclusive", "warning"),
        ("masked", "error"),
        ("untreated", "error"),
        ("damaged", "error"),
    ],
)
def test_only_a_treated_fix_is_a_notice(verdict, level):
    bounce = treated_case().bounce.model_copy(update={"verdict": verdict})
    assert levels(treated_case().model_copy(update={"bounce": bounce}))[-1] == (level, f"bounce%3A {verdict}")


def test_it_marks_the_tranche_s_file_where_it_lies_in_the_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    (tmp_path / "job").mkdir()
    monkeypatch.chdir(tmp_path / "job")
    started = to_github(treated_case()).splitlines()[0]
    assert started.startswith(
        "::error file=job/runs/letters-360m/data/old-letters.jsonl,title=ContextDeparture%3A hit::"
    )
    away = treated_case().model_copy(update={"run": "/somewhere/else", "hashes": {}})
    assert "file=" not in to_github(away)


def test_a_command_is_escaped_as_github_documents():
    assert command("error", "50% of a: b, c", title="x: 1, 2%") == "::error title=x%3A 1%2C 2%25::50%25 of a: b, c"
    assert command("notice", "a\r\nb") == "::notice::a ↵ b"


@pytest.mark.parametrize("name", ALL)
def test_no_text_of_a_model_begins_a_command_of_its_own(name):
    forged = f"fine\n::set-output name=verdict::clear\r\n::error file=x::{HOSTILE}"
    hit = DEPARTURE.model_copy(update={"why": forged, "bumper": forged})
    case = ALL[name]().model_copy(update={"bumpers": [hit], "hits": [hit], "run": forged, "why": forged})
    for line in to_github(case).splitlines():
        assert LINE.match(line) and "\x1b" not in line, line
    assert len(to_github(case).splitlines()) == 1 + bool(case.bounce) + bool(contradiction(case))


def test_the_summary_is_appended_where_github_wants_it(tmp_path, monkeypatch):
    assert write_summary(treated_case()) is None
    place = tmp_path / "summary.md"
    place.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place))
    rendered(masked_case(), "github")
    text = place.read_text()
    assert text.startswith("before\n## Bumperlane: masked\n") and "**Cannot be said**" in text
    assert "| RewardHackShape | logs | open | blind |" in text
    rendered(masked_case(), "junit")
    assert place.read_text() == text


def test_the_summary_shows_hostile_text_as_text():
    nasty = "a | b <img src=x> [click](http://evil.example) `x` **bold** @team www.evil.example #1\n| forged | row |"
    hit = DEPARTURE.model_copy(update={"why": nasty})
    case = check_only_case().model_copy(
        update={"bumpers": [hit], "hits": [hit], "behaviour": Behaviour(bumper="x", context=nasty, origin="mined")}
    )
    text = to_summary(case)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 3 and all(len(re.findall(r"(?<!\\)\|", row)) == 8 for row in rows)
    assert not re.search(r"<\w|(?<!\\)\]\(|://|(?<!\\)`|@team|www\.", text)


def test_every_form_is_offered_by_the_commands():
    from bumperlane.cli.main import FORMS as offered

    assert set(offered) == {"terminal", *FORMS}


def test_the_summary_shows_an_at_sign_as_one_and_not_as_its_code():
    hit = DEPARTURE.model_copy(update={"why": "mail to a@b.example"})
    text = to_summary(check_only_case().model_copy(update={"bumpers": [hit], "hits": [hit]}))
    assert "mail to a&#64;b.example" in text and "&\\#" not in text


def test_a_run_whose_name_no_file_can_have_is_annotated_without_a_file():
    assert "file=" not in to_github(check_only_case().model_copy(update={"run": "a\0b"}))
