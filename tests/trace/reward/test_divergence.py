import numpy as np
import pytest

from bumperlane.evidence.rollout_flags import Flags
from bumperlane.evidence.rollouts import rollouts_of
from bumperlane.trace.reward.changepoint import Dating
from bumperlane.trace.reward.divergence import divergences, flagged_onset

DATING = Dating(permutations=499)


def log(visible, held_out, other=None, seed=0, steps=30, each=40):
    """Pass rates by step; `other` is a second term."""
    rng = np.random.default_rng(seed)
    rows = []
    for s in range(steps):
        for i in range(each):
            terms = {"visible": float(rng.random() < visible(s)), "constant": 0.5}
            if other:
                terms["other"] = float(rng.normal(other(s)))
            rows.append({"id": f"{s}/{i}", "step": s, "group": f"p{i % 8}", "rewards": terms,
                         "checks": {"held_out": float(rng.random() < held_out(s))}})  # fmt: skip
    return rollouts_of(rows)


def late(s):
    return 0.3 + 0.5 * (s >= 18)


def test_a_term_parts_from_a_check_at_the_step_at_which_only_one_rises():
    (found,) = divergences(log(late, lambda s: 0.3), DATING)
    assert found.name == "visible less held_out" and found.found and found.why == "rises."
    assert found.onset.low <= 18 <= found.onset.high and found.onset.high - found.onset.low <= 4
    table = log(late, lambda s: 0.3)
    term, check = table.values[:, table.terms.index("visible")], table.check_values[:, 0]
    apart = (term - term.mean()) / term.std() - (check - check.mean()) / check.std()
    assert found.before == pytest.approx(apart[table.step < 18].mean(), abs=0.15)
    assert found.after == pytest.approx(apart[table.step >= 18].mean(), abs=0.15)


def test_terms_that_rise_together_do_not_part():
    (found,) = divergences(log(late, late), DATING)
    assert not found.found and found.onset is None


def test_pairs_without_a_change_are_named_at_no_more_than_the_nominal_rate_over_all_pairs():
    draws, quick = 80, Dating(permutations=99)
    named = []
    for seed in range(draws):
        found = divergences(log(lambda s: 0.3, lambda s: 0.6, lambda s: 0.0, seed, 15, 16), quick)
        assert len(found) == 3  # two terms and a check; a constant term parts from nothing
        named.append(any(one.found for one in found))
    assert np.mean(named) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


def test_the_flagged_rate_is_that_of_the_known_rollouts():
    table = log(late, lambda s: 0.3)
    flagged = table.values[:, table.terms.index("visible")] > 0
    known = np.arange(len(table)) % 2 == 0
    found = flagged_onset(table, Flags("x", flagged & known, known), DATING)
    assert found.onset.low <= 18 <= found.onset.high
    assert found.before == pytest.approx(
        (flagged & known)[table.step < 18].sum() / known[table.step < 18].sum(), abs=0.05
    )
    assert found.after == pytest.approx(flagged[known & (table.step >= 18)].mean(), abs=0.05)
