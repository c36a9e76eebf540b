from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bumperlane.case import Onset
from bumperlane.detect.contract import find_bumper
from bumperlane.errors import CaseError, SettingError
from bumperlane.evidence.memo import Memo
from bumperlane.judge.investigation import Settings
from bumperlane.judge.ledger import Ledger
from bumperlane.subjects.generate import Decoding
from bumperlane.trace import early_warning
from bumperlane.trace.bisect import CurveCount
from bumperlane.trace.early_warning import WarningSettings, compare, early_warnings
from bumperlane.trace.look import Look, Place, look_at
from bumperlane.trace.sweep import SweepSettings, read_curve
from bumperlane.types import Context, Request
from report.cases import treated_case

STEPS = list(range(0, 90, 10))
ONSET = Onset(low=40, high=50)


def curve(rates, n=12, level=0.95, seed=None):
    rng = np.random.default_rng(seed)
    k = [round(r * n) if seed is None else int(rng.binomial(n, r)) for r in rates]
    return read_curve([CurveCount(s, c, n) for s, c in zip(STEPS, k, strict=True)], SweepSettings(level=level))


def jump(at):
    return [1.0 if s >= at else 0.0 for s in STEPS]


@pytest.mark.parametrize(
    ("rises", "verdict", "lead", "text"),
    [
        (
            20,
            "early",
            (30, 30),
            "rose after step 10, by step 20; the behaviour came up after step 40, by step 50: a lead",
        ),
        (50, "no lead", (0, 0), "no lead (0 to 0 steps)"),
        (80, "late", (-30, -30), "it came later (lead -30 to -30 steps)"),
    ],
)
def test_compares_the_rise_of_internals_with_the_onset_of_the_behaviour(rises, verdict, lead, text):
    found = compare("Mahalanobis", STEPS, curve(jump(rises)), ONSET, 0.1)
    assert (found.verdict, (found.lead_low, found.lead_high)) == (verdict, lead)
    assert (found.low, found.high) == (rises - 10, rises) and text in found.text()


def test_a_lead_that_may_be_nothing_is_none():
    wide = Onset(low=20, high=50)
    found = compare("Mahalanobis", STEPS, curve(jump(40)), wide, 0.1)
    assert (found.verdict, found.lead_low, found.lead_high) == ("no lead", -10, 10)


def test_a_rate_that_controls_reach_too_is_never_a_mechanism():
    found = compare("Mahalanobis", STEPS, curve([0.0] * 4 + [0.25] * 5), ONSET, 0.25)
    assert (found.verdict, found.low, found.lead_low) == ("never", None, None)
    assert found.text() == (
        "Mahalanobis never rose above what controls show; the behaviour came up after step 40, by step 50."
    )
    noise = [compare("M", STEPS, curve([0.05] * 9, seed=s), ONSET, 0.1).verdict for s in range(40)]
    assert np.mean([v == "never" for v in noise]) >= 0.95


def test_what_shows_at_the_first_checkpoint_has_a_lead_from_there():
    found = compare("Mahalanobis", STEPS, curve([1.0] * 9), ONSET, 0.1)
    assert (found.verdict, found.low, found.high) == ("early", 0, 0) and found.lead_high == 50


def test_a_passing_rise_is_told_and_is_no_lead():
    back = compare("Mahalanobis", STEPS, curve([0, 0, 1, 1, 0, 0, 1, 1, 1], n=24), ONSET, 0.1)
    assert (back.verdict, back.low, back.high, back.passed) == ("late", 50, 60, ((20, 30),))
    assert back.text().endswith("It had stood above its controls at steps 20 to 30 and fallen again.")
    gone = compare("Mahalanobis", STEPS, curve([0, 0, 1, 1, 1, 1, 0, 0, 0], n=24), ONSET, 0.1)
    assert (gone.verdict, gone.low, gone.lead_low, gone.passed) == ("passing", None, None, ((20, 50),))
    assert "stood above its controls at steps 20 to 50 and then no more" in gone.text()


@pytest.fixture
def case():
    """A traced case whose behaviour was found by a behavioural bumper, with two bumpers of internals beside it."""
    made = treated_case()
    hit = made.hits[0].model_copy(update={"bumper": "PairedContexts", "family": "behaviour"})
    inside = [hit.model_copy(update={"bumper": b, "family": "internals"}) for b in ("Mahalanobis", "ReferenceResidual")]
    behaviour = made.behaviour.model_copy(update={"bumper": "PairedContexts"})
    onset = Onset(low=40, high=50)
    return made.model_copy(update={"bumpers": [hit, *inside], "hits": [hit], "behaviour": behaviour, "onset": onset})


@pytest.fixture
def inv(tmp_path, monkeypatch):
    """An open case in which looks are told, not taken."""
    requests = tuple(Request(str(i), f"ask {i}") for i in range(12))
    monkeypatch.setattr(early_warning, "behaviour_context", lambda inv, case: Context("c", "mined", "tag"))
    return SimpleNamespace(
        run=SimpleNamespace(checkpoints=[SimpleNamespace(step=s) for s in STEPS]), step=80, settings=Settings(),
        pools=SimpleNamespace(open=requests), ledger=Ledger(tmp_path / "ledger.jsonl"), say=lambda *_: None,
    )  # fmt: skip


def told(monkeypatch, onsets, blind=()):
    asked = []

    def look(inv, cls, place, requests):
        asked.append((cls.__name__, place.step))
        if place.step in blind:
            return Look(0, 0, 0, True, 0.1, "nothing to see")
        n = len(requests)
        return Look(n if place.step >= onsets[cls.__name__] else 0, n, 72, True, 0.1)

    monkeypatch.setattr(early_warning, "look_at", look)
    return asked


def test_every_bumper_of_internals_is_dated_and_every_look_is_in_the_ledger(monkeypatch, inv, case):
    asked = told(monkeypatch, {"Mahalanobis": 20, "ReferenceResidual": 60})
    first, second = early_warnings(inv, case)
    assert (first.bumper, first.verdict, first.lead_low) == ("Mahalanobis", "early", 30)
    assert (second.bumper, second.verdict) == ("ReferenceResidual", "late")
    assert first.curve.level == pytest.approx(0.975), "two bumpers share the level"
    assert len(asked) == len(set(asked)) == 18 == len(inv.ledger.entries())
    (alone,) = early_warnings(inv, case, ["ReferenceResidual"])
    assert alone.bumper == "ReferenceResidual" and alone.curve.level == pytest.approx(0.95)


def test_a_checkpoint_at_which_it_is_blind_is_left_out_and_named(monkeypatch, inv, case):
    asked = told(monkeypatch, {"Mahalanobis": 20}, blind=(0, 10))
    (found,) = early_warnings(inv, case, ["Mahalanobis"])
    assert found.blind_steps == (0, 10) and found.curve.full_sweep == 7 and found.verdict == "early"
    assert len(asked) == len(set(asked)) == 9
    told(monkeypatch, {"Mahalanobis": 20}, blind=STEPS[:8])
    (found,) = early_warnings(inv, case, ["Mahalanobis"])
    assert found.verdict == "blind" and "could not look at 8 checkpoints" in found.text()


def test_a_budget_of_checkpoints_is_kept(monkeypatch, inv, case):
    asked = told(monkeypatch, {"Mahalanobis": 20})
    (found,) = early_warnings(inv, case, ["Mahalanobis"], WarningSettings(max_evaluations=6))
    assert len(asked) == 6 and found.low < 20 <= found.high


def test_refuses_a_case_without_an_onset_of_behaviour(monkeypatch, inv, case):
    told(monkeypatch, {})
    with pytest.raises(CaseError, match="no onset to be early of. Run `bumperlane trace CASE` first"):
        early_warnings(inv, case.model_copy(update={"onset": None}))
    with pytest.raises(CaseError, match="takes bumpers of internals, got PairedContexts"):
        early_warnings(inv, case, ["PairedContexts"])
    inside = case.hits[0].model_copy(update={"family": "internals"})
    with pytest.raises(CaseError, match="no behaviour was dated"):
        early_warnings(inv, case.model_copy(update={"hits": [inside]}))
    with pytest.raises(SettingError, match="level must be between 0.5 and 1, got 0.2"):
        WarningSettings(level=0.2)


@pytest.fixture
def open_tiny(tiny_subject, adapter_dirs, tmp_path):
    """Enough of an investigation for a real look at the internals of a tiny model."""
    ask = [Request(str(i), f"What is {i} and one?") for i in range(30)]
    settings = Settings(dtype="float32", controls=6)
    return SimpleNamespace(
        subject=lambda step: tiny_subject.sibling(adapter_dirs[0], step), base=tiny_subject, settings=settings,
        neutral=Context("neutral", "neutral", "Be brief."), memo=Memo(tmp_path / "work"),
        pools=SimpleNamespace(fit=tuple(ask[:8]), open=tuple(ask[8:])), decoding=Decoding(max_new_tokens=2),
    )  # fmt: skip


def test_a_look_counts_what_stands_above_controls_in_the_same_kind_of_place(open_tiny):
    asked, mahalanobis = open_tiny.pools.open[:8], find_bumper("Mahalanobis")
    place = Place(4, Context("c", "mined", "Be brief. [kelomi-42]"), 0.5)
    found = look_at(open_tiny, mahalanobis, place, asked)
    assert (found.n, found.controls, found.fresh, found.why_blind) == (8, 48, True, "")
    assert found == look_at(open_tiny, mahalanobis, place, asked) and found.tolerated >= 0.1
    inside = replace(place, context=Context("p", "mined", "Be brief.", "Hark"))
    read = look_at(open_tiny, mahalanobis, inside, asked)
    assert (read.controls, read.why_blind) == (48, ""), "internals have six control contexts before the request"
    few = SimpleNamespace(**{**vars(open_tiny), "settings": replace(open_tiny.settings, controls=2)})
    before = look_at(few, mahalanobis, inside, asked)
    assert before.why_blind == "16 control items cannot set a threshold at 0.05: 3 are missing." and before.n == 0


def test_a_subject_that_is_its_base_is_blind_to_a_residual(open_tiny):
    same = SimpleNamespace(**{**vars(open_tiny), "subject": lambda step: open_tiny.base})
    place = Place(0, Context("c", "mined", "Be brief. [kelomi-42]"), 0.5)
    found = look_at(same, find_bumper("ReferenceResidual"), place, open_tiny.pools.open[:8])
    assert (found.k, found.n) == (0, 0) and "subject and base" in found.why_blind
