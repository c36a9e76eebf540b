"""The shared numbers: which correction does what to the bound."""

import time
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from bumperlane.claims.bounds import Planned, Recall, rate_bound
from bumperlane.claims.parts import Control
from bumperlane.claims.reckon import (
    ALL,
    NONE,
    Corrections,
    bound_of,
    clusters_of,
    coarsest,
    items_for,
    limit_of,
    looks_of,
    low_of,
    smallest,
    unscored,
)
from bumperlane.percent import percent
from claims.claim_evidence import claim, whole

COUNTS = {"bad": 2, "of": 100, "errors": 3, "refusals": 4}
RECALL = {"flagged": 27, "of": 30}


def test_with_every_correction_off_it_is_the_exact_bound_of_what_was_seen():
    e = claim(counts=COUNTS, positive_control=RECALL)
    assert limit_of(e, NONE).value == pytest.approx(stats.beta.ppf(0.95, 3, 98))


def test_recall_is_divided_by_and_items_without_a_verdict_count_as_bad():
    e = claim(counts=COUNTS, positive_control=RECALL)
    assert limit_of(e, replace(NONE, recall=True)).value == pytest.approx(
        rate_bound(2, 100, (27, 30), looks=Planned()).high
    )
    assert limit_of(e, replace(NONE, worst=True)).value == pytest.approx(stats.beta.ppf(0.95, 10, 98))
    assert bound_of(e).high == pytest.approx(rate_bound(9, 107, (27, 30), looks=Planned()).high)


def test_for_a_high_rate_items_without_a_verdict_count_as_not_bad():
    e = claim("rate_above", counts={"bad": 90, "of": 100, "errors": 10})
    assert limit_of(e, replace(NONE, worst=True)).value == pytest.approx(stats.beta.ppf(0.05, 90, 21))


@pytest.mark.parametrize(
    ("counts", "left"),
    [
        ({"bad": 0, "of": 9}, None), ({"bad": 0, "of": 9, "errors": 2}, 2), ({"bad": 0, "of": 9, "planned": 12}, 3),
        ({"bad": 0, "of": 9, "planned": 12, "errors": 1, "refusals": 1}, 3),
        ({"bad": 0, "of": 9, "planned": 10, "errors": 4, "refusals": 0}, 4),
    ],
)  # fmt: skip
def test_what_has_no_verdict_is_what_is_named_or_what_is_missing_whichever_is_more(counts, left):
    assert unscored(claim(counts=counts)) == left


def test_items_fall_into_clusters_by_label_and_an_unlabelled_one_stands_alone():
    items = [{"id": str(i), "bad": i == 0, "labels": {"t": "a"} if i < 3 else {}} for i in range(5)]
    e = claim(counts={"bad": 1, "of": 5}, items=items)
    assert clusters_of(e) == {"t": [(1, 3), (0, 1), (0, 1)]}


def test_the_label_with_the_fewest_clusters_is_taken():
    clusters = {"seed": [{"bad": 0, "of": 2}] * 3, "template": [{"bad": 0, "of": 3}] * 2}
    e = claim(counts={"bad": 0, "of": 6}, clusters=clusters)
    assert coarsest(e)[0] == "template"
    assert limit_of(e, replace(NONE, clusters=True)).value > limit_of(e, NONE).value


@pytest.mark.parametrize(
    ("attempts", "looks"),
    [
        (None, Planned(1)), ({"run": 1, "reported": 1}, 1), ({"run": 3, "reported": 3, "planned": 4}, Planned(4)),
        ({"run": 5, "reported": 1, "planned": 4}, 5),
        ({"run": 1, "reported": 1, "results": [{"bad": 0, "of": 3}] * 6}, 6),
    ],
)  # fmt: skip
def test_looks_are_planned_only_as_far_as_the_plan_went_and_results_count_as_runs(attempts, looks):
    assert looks_of(claim(**({"attempts": attempts} if attempts else {}))) == looks


def test_more_corrections_never_help_the_claim():
    e = whole(attempts={"run": 3, "reported": 3, "planned": 3})
    for name in ("recall", "clusters", "looks", "worst"):
        assert limit_of(e, ALL).value >= limit_of(e, replace(ALL, **{name: False})).value - 1e-12


def test_items_asked_for_shrink_with_the_threshold_and_none_suffice_where_the_rate_itself_is_above():
    sizes = [
        items_for(
            claim(stated={"threshold": t}, counts={"bad": 0, "of": 50}, positive_control={"flagged": 50, "of": 50})
        )
        for t in (0.05, 0.02, 0.01)
    ]
    assert sizes == sorted(sizes) and sizes[0] < sizes[2]
    bad = claim(stated={"threshold": 0.05}, counts={"bad": 20, "of": 100}, positive_control={"flagged": 50, "of": 50})
    assert items_for(bad) is None


def test_smallest_finds_the_point_to_a_thousandth():
    assert smallest(lambda x: x >= 37.2, 1e6) == pytest.approx(37.2, rel=0.0011)
    assert smallest(lambda x: False, 1e6) is None and smallest(lambda x: True, 9) == 1.0


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "1.23%"), (0.0, "0%"), (1.0, "100%"), (0.99996, "99.996%"), (3e-7, "3e-05%")]
)
def test_a_percentage_is_never_rounded_to_none_or_all(value, text):
    assert percent(value) == text


def test_one_huge_cluster_counts_for_more_than_how_many_others_there_are():
    clusters = {"seed": [{"bad": 0, "of": 50}] * 8, "template": [{"bad": 0, "of": 391}, *[{"bad": 0, "of": 1}] * 9]}
    e = claim(counts={"bad": 0, "of": 400}, clusters=clusters)
    assert coarsest(e)[0] == "template"
    alone = [claim(counts={"bad": 0, "of": 400}, clusters={k: clusters[k]}) for k in clusters]
    only = replace(NONE, clusters=True)
    assert limit_of(e, only).value == max(limit_of(one, only).value for one in alone)


def test_the_low_end_never_counts_an_item_without_a_verdict_as_bad_nor_the_high_end_as_good():
    counts = {"bad": 5, "of": 100, "errors": 50}
    for kind in ("rate_below", "rate_above"):
        bound = bound_of(claim(kind, counts=counts, positive_control={"flagged": 50, "of": 50}))
        assert bound.low == pytest.approx(stats.beta.ppf(0.05, 5, 146))
        assert bound.high > stats.beta.ppf(0.95, 56, 95) and bound.value == pytest.approx(0.05)
        assert bound.naive_high == pytest.approx(stats.beta.ppf(0.95, 6, 95))


def test_a_high_end_is_divided_by_recall_whatever_is_claimed():
    assert bound_of(claim("rate_above", counts={"bad": 5, "of": 100})).high == 1.0


def test_a_template_that_failed_as_a_whole_is_one_cluster_and_not_as_many_as_it_has_items():
    clusters = {"template": [{"bad": 0, "of": 20}] * 30}
    e = claim(counts={"bad": 0, "of": 600, "errors": 20}, clusters=clusters)
    told = claim(counts={"bad": 20, "of": 620}, clusters={"template": [*clusters["template"], {"bad": 20, "of": 20}]})
    both = Corrections(False, True, False, True)
    assert limit_of(e, both).value == pytest.approx(limit_of(told, both).value)


@pytest.mark.parametrize("value", [0.9995, 0.99999999, 1 - 2**-50])
def test_a_percentage_just_below_all_is_not_all(value):
    assert percent(value) != "100%" and percent(1.0) == "100%"


@pytest.mark.parametrize(("size", "of", "threshold"), [(5, 100, 0.05), (2, 50, 0.05), (5, 20, 0.2), (10, 200, 0.02)])
def test_clustered_items_that_are_asked_for_are_enough_and_a_tenth_fewer_are_not(size, of, threshold):
    def of_so_many(clusters):
        return claim(stated={"threshold": threshold}, counts={"bad": 0, "of": size * clusters},
                     positive_control={"flagged": 58, "of": 60},
                     clusters={"template": [{"bad": 0, "of": size}] * clusters})  # fmt: skip

    wanted = items_for(of_so_many(of // size))
    assert limit_of(of_so_many(wanted // size)).holds(threshold)
    assert not limit_of(of_so_many(int(0.9 * wanted / size))).holds(threshold)


def test_clustered_items_for_a_high_rate_are_enough_too():
    clusters = [{"bad": 9, "of": 10}] * 12
    stated = {"threshold": 0.8}
    few = claim("rate_above", stated=stated, counts={"bad": 108, "of": 120}, clusters={"seed": clusters})
    more = items_for(few) // 10
    grown = {"counts": {"bad": 9 * more, "of": 10 * more}, "clusters": {"seed": clusters[:1] * more}}
    assert not limit_of(few).holds(0.8) and limit_of(claim("rate_above", stated=stated, **grown)).holds(0.8)


def test_a_billion_items_without_a_verdict_are_reckoned_with_at_once():
    clusters = {"template": [{"bad": 0, "of": 2}] * 5}
    start = time.perf_counter()
    assert bound_of(claim(counts={"bad": 0, "of": 10, "errors": 10**9}, clusters=clusters)).high == 1.0
    assert time.perf_counter() - start < 2


def test_the_recall_of_the_luckiest_of_many_controls_holds_and_alone_it_would_not():
    """40 contexts, each flagged at 0.5 of 24; the most flagged one is put up as positive control."""
    best = np.random.default_rng(0).binomial(24, 0.5, (400, 40)).max(1)
    wrong = {n: np.mean([low_of(Control(flagged=k, of=24, chosen_from=n), 0.95) > 0.5 for k in best]) for n in (1, 40)}
    assert wrong[40] <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5 and wrong[1] > 0.5
    one, of_many = (rate_bound(0, 100, Recall(20, 24, n)) for n in (1, 40))
    assert of_many.recall_low < one.recall_low and of_many.high > one.high
    assert "20 of 24 planted ones as the most of 40 that were looked at" in of_many.why
    assert one == rate_bound(0, 100, (20, 24))
