"""Dating the onset of a case's behaviour: which rates the search is told, and what goes into the case."""

from types import SimpleNamespace

import numpy as np
import pytest

from bumperlane.case import Group, Range
from bumperlane.claims.verify_onset import onset as verified_onset
from bumperlane.judge.investigation import Settings
from bumperlane.judge.ledger import Ledger
from bumperlane.trace.meter import Count
from bumperlane.trace.when import expected_rates, find_onset
from bumperlane.types import Request
from report.cases import treated_case

STEPS = list(range(0, 160, 10))


def group(name, text, over, of):
    rate = Range(value=over / of, low=0.0, high=1.0)
    return Group(name=name, text=text, over=over, of=of, rate=rate, p_holm=0.01)


@pytest.fixture
def case():
    """A case hit in two contexts; the one that is traced is not the worst."""
    made = treated_case()
    groups = [group("a", "system: worse", 12, 12), group("b", made.behaviour.context, 9, 12)]
    control, effect = Range(value=0.04, low=0.0, high=0.1), groups[0].rate
    hit = made.hits[0].model_copy(update={"groups": groups, "effect": effect, "control": control})
    return made.model_copy(
        update={"hits": [hit], "behaviour": made.behaviour.model_copy(update={"bumper": hit.bumper})}
    )


class Told:
    """A meter that answers from a curve of rates."""

    told = False  # by a context

    def __init__(self, rates, name, requests):
        self.rates, self.name, self.requests, self.asked = rates, name, requests, []

    def count(self, step, requests):
        self.asked.append((step, requests[0].id))
        rng = np.random.default_rng([step, int(requests[0].id)])
        return Count(int(rng.binomial(len(requests), self.rates[step // 10])), len(requests))


@pytest.fixture
def inv(tmp_path):
    checkpoints = [SimpleNamespace(step=s) for s in (*STEPS, 170)]
    return SimpleNamespace(
        run=SimpleNamespace(checkpoints=checkpoints), step=150, settings=Settings(), subject=lambda step: step,
        ledger=Ledger(tmp_path / "ledger.jsonl"), say=lambda *_: None,
    )  # fmt: skip


REQUESTS = tuple(Request(str(i), f"ask {i}") for i in range(30))


def test_the_search_is_told_the_rate_of_the_context_that_is_traced(inv, case):
    told = expected_rates(case, case.hits[0], 0.05)
    assert (told.before, told.after, told.requests) == (0.04, 0.75, 12)
    bare = case.hits[0].model_copy(update={"groups": []})
    assert (expected_rates(case, bare, 0.05).after, expected_rates(case, bare, 0.05).requests) == (1.0, None)
    high = case.hits[0].model_copy(update={"control": Range(value=0.7, low=0.6, high=0.8)})
    assert expected_rates(case, high, 0.05).after == pytest.approx(0.9) and not expected_rates(case, high, 0.05).datable


def test_a_jump_is_found_with_few_looks_which_are_in_the_ledger(inv, case):
    meter = Told(np.where(np.arange(16) >= 9, 0.8, 0.02), case.behaviour.bumper, REQUESTS)
    onset = find_onset(inv, case, meter)
    assert onset.low < 90 <= onset.high and onset.evaluations == len(meter.asked) <= 8 and onset.full_sweep == 16
    assert onset.changes == [] and len(inv.ledger.entries()) == len(meter.asked)
    assert max(step for step, _ in meter.asked) <= 150 and {i for _, i in meter.asked} <= {"0", "12"}


def test_a_sweep_that_was_asked_for_puts_every_rise_and_fall_into_the_case(inv, case):
    at = np.arange(16)
    meter = Told(np.where((at >= 12) | ((at >= 3) & (at < 7)), 0.9, 0.02), case.behaviour.bumper, REQUESTS)
    onset = find_onset(inv, case, meter, how="sweep")
    assert [c.kind for c in onset.changes] == ["rise", "fall", "rise"] and onset.low < 120 <= onset.high
    assert onset.evaluations == 16 == len(onset.curve) and "stayed" in onset.note
    assert type(onset).model_validate_json(onset.model_dump_json()) == onset


CURVES = {
    "a jump": np.where(np.arange(16) >= 9, 0.8, 0.02),
    "a slow rise": np.clip(np.arange(16) / 15, 0, 0.9),
    "rise and fall": np.where(np.isin(np.arange(16), (4, 5, 6, 12, 13, 14, 15)), 0.9, 0.02),
    "nothing": np.full(16, 0.02),
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("how", ["auto", "sweep"])
def test_the_search_is_kept_so_that_it_can_be_made_again_without_a_model(inv, case, name, how):
    onset = find_onset(inv, case, Told(CURVES[name], case.behaviour.bumper, REQUESTS), how=how)
    kept = case.model_copy(update={"onset": onset, "subject": {"checkpoints": [*STEPS, 170], "step": 150}})
    found = verified_onset(kept)
    assert found.state == "pass", found
    other = onset.model_copy(update={"low": onset.low - 10 if onset.low else 10, "high": 150})
    assert verified_onset(kept.model_copy(update={"onset": other})).state == "fail"
