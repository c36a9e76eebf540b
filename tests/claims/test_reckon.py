"""The shared numbers: which correction does what to the bound."""

from dataclasses import replace

import pytest
from scipy import stats

from bumperlane.claims.bounds import Planned, rate_bound
from bumperlane.claims.reckon import (
    ALL,
    NONE,
    bound_of,
    clusters_of,
    coarsest,
    items_for,
    limit_of,
    looks_of,
    percent,
    smallest,
    unscored,
)
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
