import numpy as np
import pytest

from bumperlane.detect import gather_features
from bumperlane.detect.gather_features import gather_weight_differences
from bumperlane.detect.internals.features import WeightDifferences
from bumperlane.detect.internals.weight_difference_spectrum import WeightDifferenceSpectrum
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.memo import Memo
from bumperlane.types import numbered
from promises import keep
from tiny import make_tiny_model
from tiny_adapter import make_adapter

RNG = np.random.default_rng(1)
CENTRES = {"q_proj": np.array([0.0, 5.0, -3.0]), "down_proj": np.array([9.0, -4.0, 2.0])}


def made(n, kinds=("q_proj", "down_proj"), aside=0.0):
    names = tuple(kinds[i % len(kinds)] for i in range(n))
    rows = np.stack([CENTRES.get(k, np.zeros(3)) for k in names]) + RNG.normal(size=(n, 3)) * [1, 0.3, 2]
    return WeightDifferences(rows + aside * np.array([0, 1, 0]), numbered(n), names, ("norm", "rank", "spike"))


CLEAN = made(400)
FITTED = WeightDifferenceSpectrum(1e-12).fit(CLEAN)


def test_keeps_every_promise(tmp_path):
    keep(WeightDifferenceSpectrum, tmp_path)


def test_agrees_with_the_distance_within_each_kind_by_hand():
    which = np.array([k == "q_proj" for k in CLEAN.kinds])
    gap = np.where(which[:, None], CLEAN.rows - CLEAN.rows[which].mean(0), CLEAN.rows - CLEAN.rows[~which].mean(0))
    inverse = np.linalg.inv(np.cov(gap, rowvar=False, bias=True) * 200 / 199)
    found = FITTED.score(CLEAN).values
    np.testing.assert_allclose(found, np.log(np.einsum("nd,de,ne->n", gap, inverse, gap) / 3), rtol=1e-6, atol=1e-6)


def test_the_spread_within_kinds_is_unbiased_however_few_matrices_a_kind_has():
    """Two matrices a kind lie as near to their own mean as they can; unseen ones must not look far for that."""
    kinds = tuple(f"kind {i}" for i in range(400))
    fitted = WeightDifferenceSpectrum(1e-12).fit(made(800, kinds))
    fresh = fitted.score(made(800, kinds)).values
    assert np.exp(fresh).mean() == pytest.approx(1.5, rel=0.15)  # own spread, and half of it again from the mean of two


def test_a_kind_is_compared_with_its_own_and_not_with_the_others():
    swapped = WeightDifferences(CLEAN.rows, CLEAN.ids, CLEAN.kinds[::-1], CLEAN.features)
    assert FITTED.score(swapped).values.min() > np.quantile(FITTED.score(CLEAN).values, 0.99)


def test_sees_a_change_of_another_spectrum_and_not_one_of_the_usual_one():
    line = np.quantile(FITTED.score(made(4000)).values, 0.95)
    assert (FITTED.score(made(50, aside=2)).values > line).all()
    assert (FITTED.score(made(4000)).values > line).mean() < 0.1


def test_tells_adapters_of_another_kind_of_training_from_files_alone(tiny_dir, tmp_path):
    """Clean: random adapters of rank 4. Bad: one whose change is almost all in one direction."""
    import torch
    from safetensors.torch import load_file, save_file

    def spectra(**seeds):
        adapters = {label: make_adapter(tiny_dir, tmp_path / label, seed) for label, seed in seeds.items()}
        return gather_weight_differences(
            {label: (path, None) for label, path in adapters.items()}, Memo(tmp_path / "memo")
        )

    clean = spectra(**{f"clean-{i}": i for i in range(6)})
    held_out = spectra(**{f"held-out-{i}": i for i in range(10, 14)})
    narrow = make_adapter(tiny_dir, tmp_path / "narrow", 50)
    file = narrow / "adapter_model.safetensors"
    shrink = torch.diag(torch.tensor([1.0, 0.05, 0.05, 0.05]))
    save_file({k: (t @ shrink).contiguous() if "lora_B" in k else t for k, t in load_file(file).items()}, file)
    bad = gather_weight_differences({"narrow": (narrow, None)}, Memo(tmp_path / "memo"))
    fitted = WeightDifferenceSpectrum().fit(clean)
    assert (fitted.score(bad).values > fitted.score(held_out).values.max()).all()
    assert clean.ids[0].startswith("clean-0/model.layers.0.") and len(set(clean.ids)) == 6 * 8


def test_full_checkpoints_of_the_same_kind_stay_quiet_and_are_read_once(tiny_dir, tmp_path, monkeypatch):
    paths = [make_tiny_model(tmp_path / str(seed), seed=seed) for seed in range(1, 6)]

    def look(numbers):
        intervals = {f"run {n}": (paths[n], tiny_dir) for n in numbers}
        return gather_weight_differences(intervals, Memo(tmp_path / "memo"), leave_out=["embed_tokens"])

    fitted = WeightDifferenceSpectrum().fit(look(range(4)))
    first = fitted.score(look([4]))
    assert np.median(first.values) < 1 and first.ids[0].startswith("run 4/model.layers.0.")
    monkeypatch.setattr(gather_features, "weight_differences", lambda *_: pytest.fail("this was seen before"))
    np.testing.assert_array_equal(fitted.score(look([4])).values, first.values)


def test_refuses_to_gather_nothing(tmp_path):
    with pytest.raises(EvidenceError, match="no intervals between checkpoints to compare. Pass one or more"):
        gather_weight_differences({}, Memo(tmp_path))


def test_refuses_a_kind_of_which_it_knows_nothing():
    with pytest.raises(
        EvidenceError, match=r"no trusted matrix of the kinds \['lm_head'\]. Known: down_proj, q_proj. Pass"
    ):
        FITTED.score(made(4, ("q_proj", "lm_head")))


def test_refuses_other_features():
    other = WeightDifferences(CLEAN.rows[:2, :2], ("a", "b"), ("q_proj",) * 2, ("norm", "rank"))
    with pytest.raises(EvidenceError, match=r"fitted on \('norm', 'rank', 'spike'\), cannot score \('norm', 'rank'\)"):
        FITTED.score(other)


def test_refuses_too_few_matrices_in_all_or_of_one_kind():
    with pytest.raises(
        EvidenceError, match=r"8 or more trusted matrices beyond one a kind.*got 9 of 2 kinds, single ones \[\]"
    ):
        WeightDifferenceSpectrum().fit(made(9))
    WeightDifferenceSpectrum().fit(made(10))
    few = made(41)
    alone = WeightDifferences(few.rows, few.ids, (*few.kinds[:40], "lm_head"), few.features)
    with pytest.raises(EvidenceError, match=r"got 41 of 3 kinds, single ones \['lm_head'\]. Pass more checkpoints"):
        WeightDifferenceSpectrum().fit(alone)
    still = WeightDifferences(np.full((20, 3), 0.1), CLEAN.ids[:20], CLEAN.kinds[:20], CLEAN.features)
    with pytest.raises(EvidenceError, match="the spectra of each kind are equal for all 20 trusted items"):
        WeightDifferenceSpectrum().fit(still)


def test_refuses_a_shrinkage_outside_its_range():
    with pytest.raises(SettingError, match=r"shrinkage must be in \(0, 1\]"):
        WeightDifferenceSpectrum("lw")
