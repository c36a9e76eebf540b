import json
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.recipes.models import Recipe
from bumperlane.trace.data.columns import ColumnSettings, rank_columns
from bumperlane.trace.data.read_columns import columns_of, labels_of
from bumperlane.trace.tranches import length_bins, rank_tranches

N, Q = 300, 6
IDS = tuple(f"e{i}" for i in range(N))
FEW = ColumnSettings(permutations=299, draws=50)


def column(groups, prefix="v"):
    return {id: f"{prefix}{i % groups}" for i, id in enumerate(IDS)}


def scores(seed=0, plant=(), by=1.5, q=Q):
    rows = np.random.default_rng(seed).normal(size=(q, N))
    rows[:, list(plant)] += by
    return rows


def test_finds_a_cause_that_cuts_across_tranches():
    plant = [i for i in range(N) if i % 7 == 3]
    found = rank_columns(scores(plant=plant), IDS, {"tranche": column(5, "t"), "author": column(7, "a")})
    best = found.values[0]
    assert (best.column, best.name, best.n) == ("author", "a3", len(plant))
    assert best.p_value < 0.01 and best.first == 1 and best.enrichment > 5 and best.in_top <= best.top_k
    assert all(v.p_value > 0.05 for v in found.of("tranche"))
    assert all(v.p_value == min(1, 2 * min(v.p_permutation, v.p_top)) for v in found.values)


@pytest.mark.parametrize("lengths", [None, "random"])
def test_a_value_is_called_in_no_more_than_alpha_of_null_data(lengths):
    least = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        own = None if lengths is None else rng.integers(5, 90, 80)
        columns = {c: {f"e{i}": str(rng.integers(k)) for i in range(80)} for c, k in (("a", 3), ("b", 6), ("c", 15))}
        settings = ColumnSettings(permutations=99, draws=2, seed=seed)
        found = rank_columns(rng.exponential(size=(2, 80)), IDS[:80], columns, own, settings)
        least.append(found.values[0].p_value)
    assert np.mean(np.array(least) <= 0.1) <= 0.1 + 3 * np.sqrt(0.09 / 120)


@pytest.mark.parametrize("strata", [True, False])
def test_one_column_agrees_with_the_ranking_of_tranches(strata):
    rows, lengths = scores(plant=range(2, N, 5), by=0.1), np.random.default_rng(9).integers(5, 90, N)
    labels = list(column(5).values())
    theirs = {
        t.name: t
        for t in rank_tranches(
            rows.mean(axis=0), labels, length_bins(lengths).tolist() if strata else None, by_rank=False
        )
    }
    settings = ColumnSettings(draws=2)
    ours = {v.name: v for v in rank_columns(rows, IDS, {"c": column(5)}, lengths if strata else None, settings).values}
    if strata:  # the better of two ways, doubled
        plain = {t.name: t for t in rank_tranches(rows.mean(axis=0), labels, None, by_rank=False)}
        for name, value in ours.items():
            either = min(theirs[name].p_value, plain[name].p_value)
            assert value.p_permutation == pytest.approx(min(1, 2 * either), abs=0.08)
            assert value.z == pytest.approx(theirs[name].z) or value.z == pytest.approx(plain[name].z)
    else:
        for name, value in ours.items():
            assert value.z == pytest.approx(theirs[name].z)
            assert value.p_permutation == pytest.approx(theirs[name].p_value, abs=0.05)


def test_z_agrees_with_all_permutations():
    values = np.array([[3.0, 1.0, 4.0, 1.5, 9.0, 2.5]])
    names = np.array(list("abbaab"))
    sums = [values[0, list(order)][names == "a"].sum() for order in permutations(range(6))]
    ids = tuple("uvwxyz")
    found = rank_columns(values, ids, {"c": dict(zip(ids, names.tolist(), strict=True))}, None, FEW)
    a = next(v for v in found.values if v.name == "a")
    assert a.z == pytest.approx((values[0, names == "a"].sum() - np.mean(sums)) / np.std(sums))
    assert a.z_interval is None and a.first is None  # a single query says nothing about other queries


def test_enrichment_agrees_with_the_hypergeometric_law():
    rows = scores(plant=range(0, N, 10), by=2, q=1)
    found = next(v for v in rank_columns(rows, IDS, {"c": column(10)}, None, FEW).values if v.name == "v0")
    order = np.argsort(-rows[0])
    looks = {k: int(sum(i % 10 == 0 for i in order[:k])) for k in (10, 30)}
    chance = {k: stats.hypergeom.sf(c - 1, N, 30, k) for k, c in looks.items()}
    k = min(chance, key=chance.get)
    assert (found.top_k, found.in_top) == (k, looks[k]) and found.enrichment == pytest.approx(looks[k] / (k * 0.1))
    assert found.p_top == pytest.approx(chance[k] * 10 * 2)


def test_strata_keep_length_from_looking_like_a_cause():
    rng = np.random.default_rng(3)
    lengths = rng.integers(10, 200, N)
    long = {id: str(bool(rng.uniform() < x / 250)) for id, x in zip(IDS, lengths, strict=True)}
    rows = np.tile(length_bins(lengths) + 0.1 * rng.normal(size=N), (2, 1))
    settings = ColumnSettings(permutations=499, draws=2)
    (first, _) = rank_columns(rows, IDS, {"long": long}, None, settings).values
    both = rank_columns(rows, IDS, {"long": long}, lengths, settings).values
    # without strata it is called; with them the strata alone do not call it (the unstratified look still does)
    assert first.p_permutation <= 0.01 and both[0].p_permutation <= 0.02
    within = rank_tranches(rows[0], list(long.values()), length_bins(lengths).tolist(), by_rank=False)
    assert within[0].p_value > 0.01


def test_the_interval_and_the_share_of_firsts_tell_a_shaky_rank():
    steady = scores(plant=range(0, N, 5))
    shaky = scores()
    shaky[0, ::5] += 30  # one query of six names v0, the others do not
    calm, torn = (
        next(v for v in rank_columns(s, IDS, {"c": column(5)}).values if v.name == "v0") for s in (steady, shaky)
    )
    assert calm.first == 1 and calm.z_interval[0] > 5
    assert 0.5 < torn.first < 1 and torn.z_interval[0] < 1 < torn.z_interval[1]
    assert all(v.z_interval[0] <= v.z <= v.z_interval[1] for v in (calm, torn))


def test_ties_do_not_help_a_value():
    found = rank_columns(np.zeros((2, N)), IDS, {"c": column(4)}, None, FEW)
    assert {v.p_value for v in found.values} == {1.0} and {v.z for v in found.values} == {0.0}


def test_the_order_of_examples_and_columns_changes_nothing():
    rows, order = scores(plant=range(20)), np.random.default_rng(5).permutation(N)
    lengths = np.random.default_rng(6).integers(5, 50, N)
    columns = {"a": column(4), "b": column(6), "c": dict.fromkeys(IDS[:20], "x")}
    plain = rank_columns(rows, IDS, columns, lengths, FEW)
    back = dict(reversed(columns.items()))
    moved = rank_columns(rows[:, order], [IDS[i] for i in order], back, lengths[order], FEW)
    for a, b in zip(plain.values, moved.values, strict=True):
        assert (a.column, a.name, a.p_value, a.in_top) == (b.column, b.name, b.p_value, b.in_top)
        assert a.z == pytest.approx(b.z)


def test_columns_that_part_the_examples_alike_are_tested_once():
    found = rank_columns(scores(), IDS, {"tranche": column(4), "author": column(4, "other"), "x": column(3)}, None, FEW)
    assert found.same == (("author", "tranche"),) and found.of("author") == found.of("tranche")
    assert {v.column for v in found.values} == {"tranche", "x"}


def test_a_column_that_parts_nothing_is_skipped_with_why():
    found = rank_columns(scores(), IDS, {"a": column(4), "b": column(1), "id": {i: i for i in IDS}}, None, FEW)
    assert dict(found.skipped)["b"] == "all 300 examples share one label, v0"
    assert "(rare values)" in dict(found.skipped)["id"]
    with pytest.raises(SettingError, match=r"column 'b' was not tested: all 300 .*Tested: \['a'\]"):
        found.of("b")


def test_a_tiny_group_that_stands_far_out_is_found():
    rows = scores(plant=range(3), by=12)
    found = rank_columns(rows, IDS, {"c": dict.fromkeys(IDS[:3], "tiny")}, None, FEW).values[0]
    assert (found.name, found.n) == ("tiny", 3) and found.p_value < 0.05


def test_is_blind_to_copies_which_count_as_many():
    rows = np.random.default_rng(1).normal(size=(1, N))
    rows[:, :30] = 1.2  # one example thirty times
    found = rank_columns(rows, IDS, {"c": dict.fromkeys(IDS[:30], "copies")}, None, FEW).values[0]
    assert found.name == "copies" and found.p_value < 0.05


@pytest.mark.parametrize(
    ("rows", "ids", "lengths", "said"),
    [
        (np.zeros((2, 5)), IDS, None, r"\(queries, 300 examples\) and finite, got shape \(2, 5\)"),
        (np.full((1, N), np.nan), IDS, None, "with 300 not finite"),
        (scores(), ("e0",) * N, None, "300 different ids and as many lengths, got 1 and none"),
        (scores(), IDS, [1, 2], "got 300 and 2"),
    ],
)
def test_refuses_scores_that_do_not_fit(rows, ids, lengths, said):
    with pytest.raises(EvidenceError, match=said):
        rank_columns(rows, ids, {"c": column(4)}, lengths)


def test_refuses_columns_that_part_nothing_at_all():
    with pytest.raises(EvidenceError, match="no column parts the 300 examples .c: all 300"):
        rank_columns(scores(), IDS, {"c": column(1)})
    with pytest.raises(EvidenceError, match="none of 300 examples has a value in this column"):
        rank_columns(scores(), IDS, {"c": {"stranger": "x"}})
    with pytest.raises(SettingError, match="permutations and draws must be 1 or more"):
        ColumnSettings(permutations=0)
    with pytest.raises(SettingError, match="bins must be 2 or more"):
        labels_of({"e0": 1}, IDS, bins=1)


def test_numbers_and_dates_are_cut_at_their_quantiles():
    ids = [str(i) for i in range(100)]
    labels = labels_of({i: int(i) for i in ids}, ids)
    assert len(set(labels)) == 5 and {labels.count(x) for x in labels} == {20} and labels[0] == "0 to 19"
    assert set(labels_of({str(i): i for i in range(11)}, ids[:11], bins=2)) == {"0 to 5", "6 to 10"}
    days = labels_of({i: f"2024-{1 + int(i) // 20:02}-{1 + int(i) % 20:02}" for i in ids}, ids)
    assert days[0] == "2024-01-01 to 2024-01-20" and len(set(days)) == 5
    zones = labels_of({i: f"2024-01-01T{int(i) % 24:02}:00:00" + ("Z" if int(i) % 2 else "") for i in ids}, ids)
    assert len(set(zones)) == 5


def test_other_values_stay_as_they_are_and_rare_ones_share_a_label():
    ids = [str(i) for i in range(10)]
    values = dict(zip(ids[:9], ["a"] * 4 + [True] * 3 + ["x", "y"], strict=True))  # the last has none
    assert labels_of(values, ids) == ["a"] * 4 + ["true"] * 3 + ["(rare values)"] * 3
    assert labels_of(values, ids, least=1)[-1] == "(no value)"
    assert labels_of(dict(zip(ids, [1, 2] * 5, strict=True)), ids) == ["1", "2"] * 5


def test_reads_the_other_keys_of_the_tranche_files(tmp_path):
    rows = [
        {"prompt": "p", "response": "r", "author": "ann", "meta": {"date": "2024-01-01", "empty": None}, "n": 0},
        {"id": "own", "text": "t", "author": "bob", "tags": ["x", "y"], "tranche": "theirs"},
        {"id": "gone", "text": "t2", "author": "eve"},
    ]
    (tmp_path / "a.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    recipe = Recipe.model_validate(
        {
            "base": "m/m",
            "stages": [{"kind": "sft", "steps": 1}],
            "tranches": [{"name": "a", "path": str(tmp_path / "a.jsonl"), "drop": ["gone"]}],
        }
    )
    found = columns_of(recipe)
    first = next(i for i in found["tranche"] if i != "own")
    assert found == {
        "tranche": {first: "a", "own": "a"},
        "author": {first: "ann", "own": "bob"},
        "meta.date": {first: "2024-01-01"},
        "n": {first: 0},
        "tags": {"own": "x, y"},
        "tranche (in the data)": {"own": "theirs"},
    }
