"""A ledger added up by hand."""

import pytest

from bumperlane.case import LedgerEntry, PromptsInData
from bumperlane.judge.spending import spending
from bumperlane.report.sentences import ledger_lines
from report.cases import MASKED, TREATED, treated_case


def entries(*rows):
    return [
        LedgerEntry(n=n, bumper=b, split=s, what=w, steered=t, hash="0" * 64) for n, (b, s, w, t) in enumerate(rows, 1)
    ]


ROWS = entries(
    ("Paired", "open", "check at step 64", ""),
    ("Other", "open", "check at step 64", ""),
    ("Paired", "open", "onset at step 32", ""),
    ("Paired", "spent", "", "trace"),
    ("Paired", "spent", "", "bounce tranche"),
    ("Third", "sealed", "verification", ""),
    ("Paired", "open", "check at step 32", ""),
)


def case(**more):
    return treated_case().model_copy(update={"ledger": ROWS, "settings": {"alpha": 0.05}, "bounces": [], **more})


def test_looks_decisions_and_states():
    found = spending(case(), ("Paired", "Never"))
    states = {w.bumper: w.state for w in found.bumpers}
    assert states == {"Paired": "spent", "Other": "looked at", "Third": "sealed", "Never": "fresh"}
    assert (found.looks, found.decisions, found.risked) == (5, 3, pytest.approx(0.15))  # two checks and a verification
    paired = found.bumpers[0]
    assert paired.looks == {"open": 3} and paired.steered == ("trace", "bounce tranche") and paired.in_data is None


def test_no_more_than_every_case_is_risked():
    many = entries(*(("B", "open", f"check at step {n}", "") for n in range(40)))
    assert spending(case(ledger=many)).risked == 1.0


def test_the_largest_share_of_a_bumpers_prompts_that_a_fix_trained_on():
    def bounce(like, copied, near):
        part = PromptsInData(bumper="Paired", prompts=20, copied=copied, near=near)
        return like.model_copy(update={"contamination": [part]})

    found = spending(case(bounces=[bounce(MASKED, 5, 8), bounce(TREATED, 0, None)]))
    assert found.bumpers[0].in_data == 0.4 and found.bumpers[1].in_data is None


def test_the_lines_say_it_in_words():
    lines = ledger_lines(spending(case(), ("Never",)))
    assert lines[0].startswith("5 looks, 3 decisions at 0.05: a false alarm in at most 15% of such cases")
    assert "Paired  spent      3 open; steered trace, bounce tranche" in lines
    assert "Never   fresh      no look" in lines
