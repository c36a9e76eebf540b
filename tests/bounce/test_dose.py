"""Dose and response: on counts that were made up, and on recipes that are not carried out."""

import json

import numpy as np
import pytest
from scipy import stats

from bumperlane.bounce.bounce import BounceSettings
from bumperlane.bounce.dose import Response, dose_check, part_of, trend
from bumperlane.bounce.verdict import verdict
from bumperlane.case import Cause
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.judge.investigation import Investigation, Settings
from bumperlane.recipes.edits import apply_edits
from bumperlane.recipes.run import Run
from bumperlane.recipes.tranches import read_examples
from bumperlane.types import Check

DOSES = (0.0, 0.25, 0.5, 1.0)


def responses(*counts, n=24):
    return [Response(dose, k, n) for dose, k in zip(DOSES, counts, strict=True)]


def test_the_trend_is_the_correlation_of_answers_with_doses():
    seen = responses(1, 6, 9, 22)
    x = np.repeat(DOSES, 24)
    y = np.concatenate([np.r_[np.ones(r.k), np.zeros(r.n - r.k)] for r in seen])
    slope, p = trend(seen)
    assert slope == pytest.approx(stats.linregress(x, y).slope)
    assert p == pytest.approx(stats.norm.sf(stats.pearsonr(x, y).statistic * np.sqrt(len(x))))


def test_a_trend_at_chance_has_a_p_value_below_alpha_no_more_often_than_alpha():
    rng = np.random.default_rng(0)
    ps = np.array([trend(responses(*rng.binomial(24, 0.4, 4)))[1] for _ in range(1500)])
    assert (ps <= 0.05).mean() < 0.07 and (ps <= 0.5).mean() == pytest.approx(0.5, abs=0.05)


def test_a_behaviour_that_falls_with_the_dose_passes():
    check = dose_check(responses(0, 6, 12, 24))
    assert check.passed is True and check.numbers["slope"] > 0.8 and "trend p" in check.detail


def test_one_that_is_full_at_a_small_dose_passes_too():
    assert dose_check(responses(0, 22, 24, 24)).passed is True


def test_one_that_does_not_follow_the_dose_fails():
    check = dose_check(responses(20, 21, 19, 22))
    assert check.passed is False and "does not follow the dose" in check.detail
    for k in (0, 24):
        assert dose_check(responses(k, k, k, k)).passed is False


def test_one_that_falls_back_at_a_larger_dose_fails():
    check = dose_check(responses(0, 22, 2, 24))
    assert check.passed is False and "It falls from dose 0.25 to 0.5" in check.detail


def test_two_doses_are_no_trend():
    with pytest.raises(EvidenceError, match="three different doses, got 2"):
        trend([Response(0.0, 0, 8), Response(1.0, 8, 8), Response(1.0, 7, 8)])


def test_a_failed_dose_makes_a_verdict_inconclusive_and_not_masked():
    failed = dose_check(responses(20, 21, 19, 22))
    assert verdict(Check("X, which was hit", True, ""), [failed])[0] == "inconclusive"
    masked = [failed, Check("sealed behaviour", False, "")]
    assert verdict(Check("X, which was hit", True, ""), masked)[0] == "masked"


@pytest.mark.parametrize("dose", [0, 1, -0.5, 2])
def test_refuses_a_dose_that_is_no_part(dose):
    with pytest.raises(SettingError, match="doses must lie between 0 and 1"):
        BounceSettings(doses=(0.5, dose))


@pytest.fixture
def inv(tmp_path):
    named = []
    for name, n in {"good": 20, "planted": 16}.items():
        rows = [{"id": f"{name}-{i}", "prompt": f"{name} {i}", "response": "yes"} for i in range(n)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        named.append({"name": name, "path": f"{name}.jsonl"})
    recipe = {"base": "no-model", "seed": 3, "stages": [{"kind": "sft", "steps": 4}], "tranches": named}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    (tmp_path / "checkpoints" / "step-000004").mkdir(parents=True)
    return Investigation(Run.open(tmp_path), tmp_path / "case", Settings())


def left(inv, cause, dose):
    done = apply_edits(inv.run.recipe, part_of(inv, cause, dose))
    return {e.id for e in read_examples(done) if e.tranche == "planted"}


def test_a_dose_leaves_that_share_of_the_causes_examples_and_nothing_else_changes(inv):
    cause = Cause(kind="tranche", name="planted", status="confirmed")
    quarter, half = left(inv, cause, 0.25), left(inv, cause, 0.5)
    assert len(quarter) == 4 and len(half) == 8 and quarter < half
    done = apply_edits(inv.run.recipe, part_of(inv, cause, 0.25))
    assert sum(e.tranche == "good" for e in read_examples(done)) == 20
    assert left(inv, cause, 0.01) == set()  # less than one example: the whole tranche goes


def test_a_cause_without_parts_has_no_dose(inv):
    with pytest.raises(EvidenceError, match="environment shop has no part"):
        part_of(inv, Cause(kind="environment", name="shop", status="confirmed"), 0.5)
