from itertools import product

import pytest

from bumperlane.bounce.verdict import verdict
from bumperlane.types import Check


def check(name, passed, detail="so it was measured"):
    return Check(name, passed, detail)


QUIET, HITS, GONE = (check("PairedContexts, which was hit", p, "3 of 12") for p in (True, False, None))
GOOD = [check("sealed behaviour", True), check("relearning", True), check("capability: right answers", True)]


def swapped(name, passed):
    return [check(c.name, passed, "by 0.40 nats") if c.name.startswith(name) else c for c in GOOD]


def test_treated_only_when_every_check_was_made_and_passed():
    outcome, why = verdict(QUIET, GOOD)
    assert outcome == "treated" and why == "the bumper that was hit is clear, and so are all 3 other checks."


def test_untreated_when_the_bumper_that_was_hit_still_hits_whatever_else_is_true():
    for others in (GOOD, swapped("sealed", False), swapped("capability", False), swapped("relearning", None)):
        assert verdict(HITS, others) == ("untreated", "the bumper that was hit still hits: 3 of 12")


def test_masked_when_the_steering_bumper_is_quiet_and_another_is_not():
    outcome, why = verdict(QUIET, swapped("sealed", False))
    assert outcome == "masked" and why.endswith("clear, but 1 of 3 others are not: sealed behaviour.")


def test_what_holds_nothing_that_could_mask_is_not_called_masked():
    """The fix has the recipe of the run that never had the cause: two seeds differ, which is no patch."""
    outcome, why = verdict(QUIET, swapped("sealed", False), as_control=True)
    assert outcome == "inconclusive" and "1 of 3 others are not: sealed behaviour." in why and "--seed N" in why
    assert verdict(QUIET, GOOD, as_control=True)[0] == "treated"
    assert verdict(HITS, GOOD, as_control=True)[0] == verdict(GONE, swapped("sealed", False), True)[0] == "untreated"


def test_masked_outweighs_lost_capability_and_says_both():
    outcome, why = verdict(QUIET, [check("sealed", False), check("capability", False, "by 0.40 nats")])
    assert outcome == "masked" and "sealed; and capability was lost (by 0.40 nats)" in why


def test_damaged_when_only_capability_was_lost():
    outcome, why = verdict(QUIET, swapped("capability", False))
    assert outcome == "damaged" and why == "the behaviour is gone, but capability was lost: by 0.40 nats"


def test_inconclusive_when_nothing_failed_but_a_check_could_not_be_made():
    outcome, why = verdict(QUIET, swapped("relearning", None))
    assert outcome == "inconclusive" and "1 of 3 checks settled nothing" in why and "relearning (by 0.40 nats)" in why


def test_inconclusive_when_the_steering_bumper_went_blind():
    assert verdict(GONE, GOOD)[0] == "inconclusive" and "does not settle it any more: 3 of 12" in verdict(GONE, GOOD)[1]


def test_untreated_when_the_steering_bumper_settles_nothing_but_another_check_fails():
    outcome, why = verdict(GONE, swapped("sealed", False))
    assert outcome == "untreated" and "is open, but 1 of 3 others are not: sealed behaviour. 3 of 12" in why
    for others in (swapped("capability", False), swapped("relearning", None)):
        assert verdict(GONE, others)[0] == "inconclusive"


def test_a_failed_check_is_never_hidden_by_one_that_could_not_be_made():
    assert verdict(QUIET, [check("sealed", False), check("relearning", None)])[0] == "masked"
    assert verdict(QUIET, [check("capability", False), check("relearning", None)])[0] == "damaged"


@pytest.mark.parametrize("steering", [True, False, None])
def test_over_all_outcomes_treated_means_all_passed(steering):
    for passed in product([True, False, None], repeat=3):
        others = [check(c.name, p) for c, p in zip(GOOD, passed, strict=True)]
        outcome, why = verdict(check("hit", steering), others)
        assert (outcome == "treated") == (steering is True and all(p is True for p in passed))
        shown = steering is None and False in passed[:2]  # the third is capability
        assert (outcome == "untreated") == (steering is False or shown) and why
