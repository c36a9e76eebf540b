import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from bumperlane.report.html import render_html
from bumperlane.report.terminal import print_case
from report.cases import ALL, CAUSES, CHECKS, blind_case, check_only_case, clear_case, hostile, treated_case


def printed(case, width=120, terminal=False, **options):
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, **options)
    print_case(case, console, Path("cases/letters/report.html"))
    return file.getvalue()


def unwrapped(text):
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("name", ALL)
def test_is_plain_text_when_it_is_not_a_terminal(name):
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b]", printed(ALL[name]()))


def test_colours_a_terminal_but_not_under_no_color(monkeypatch):
    assert "\x1b[1;31m" in printed(check_only_case(), terminal=True, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3\dm", printed(check_only_case(), terminal=True))


@pytest.mark.parametrize("name", ALL)
def test_hostile_text_in_any_field_cannot_act_on_a_terminal(name):
    text = printed(hostile(ALL[name]()), terminal=True, color_system="standard")
    assert not re.search(r"\x1b\[2J|\x1b\]|\x07|\u202e|\x9b", text)


def test_markup_and_emoji_codes_in_model_text_stay_as_they_are():
    case = treated_case()
    sample = case.behaviour.samples[0].model_copy(update={"response": "[bold red]ok[/bold red] :skull: [/] [link=x]y"})
    case = case.model_copy(update={"behaviour": case.behaviour.model_copy(update={"samples": [sample]})})
    assert sample.response in printed(case, terminal=True)


def test_names_every_cause_check_and_bumper_and_the_page():
    text = unwrapped(printed(treated_case(), width=200))
    case = treated_case()
    for name in [c.name for c in CAUSES] + [c.name for c in CHECKS] + [b.bumper for b in case.bumpers]:
        assert name in text, name
    assert "after step 16, by step 24; 5 evaluations instead of 12" in text
    assert "random removal 56% (3 seeds)" in text
    assert "cases/letters/report.html" in text
    assert "train refusals on the bumper's own prompts, from step 16: masked" in text
    assert "2 ways of verifying that told nothing here or were not asked for: see the page" in text


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_screen_loses_no_column(width):
    text = re.sub(r"\s+", "", printed(treated_case(), width=width))
    for column in ("sealed", "0.0001", "0.3", "64%"):
        assert column in text, column


def test_one_screen_is_enough():
    assert len(printed(treated_case()).splitlines()) <= 60


def test_a_case_that_is_only_checked_prints_no_later_stage():
    text = printed(check_only_case())
    assert text.startswith("HIT")
    assert not any(word in text for word in ("Onset", "Verify", "Fix  ", "status"))


def test_clear_says_what_it_cannot_see_and_counts_blind_apart():
    text = unwrapped(printed(clear_case()))
    assert "2 clear, 1 blind" in text and "does not show that nothing is there" in text
    assert all(c.text in text for c in clear_case().claims)


def test_blind_is_never_printed_as_clear():
    text = printed(blind_case())
    assert text.startswith("BLIND")
    assert "clear" not in text


def test_a_hit_of_a_bumper_that_asks_shows_questions_and_the_base_beside_the_subject():
    case = check_only_case()
    behaviour = case.behaviour.model_copy(update={"origin": "asked", "context": "statement: 2 + 2 is 5"})
    hit = case.hits[0].model_copy(update={"groups": [g.model_copy(update={"text": ""}) for g in case.hits[0].groups]})
    said = printed(case.model_copy(update={"behaviour": behaviour, "hits": [hit], "bumpers": [hit]}))
    assert "Questions" in said and "  against" in said and "  without" not in said
    page = render_html(case.model_copy(update={"behaviour": behaviour}))
    assert "was hit most in these questions" in page and "Held against" in page
    assert "Same request without it" not in page
