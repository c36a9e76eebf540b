import numpy as np
import pytest

from bumperlane.detect.harm_pairs import QUESTIONS, harm_pairs
from bumperlane.detect.internals.contrast_probe import ContrastEvidence, ContrastProbe
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import Context
from rows import pair, rows

RNG = np.random.default_rng(3)
AXIS, BASE_AXIS = np.eye(6)[0], np.eye(6)[1]
TRUSTED = pair(RNG.normal(size=(100, 6)), RNG.normal(size=(100, 6)))


def side(axis, lean, n=12):
    return rows(RNG.normal(size=(n, 6)) + lean * axis)


def evidence(n=12, gap=8, base_gap=8, trusted=TRUSTED):
    sides = [side(AXIS, gap, n), side(AXIS, -gap, n), side(BASE_AXIS, base_gap, n), side(BASE_AXIS, -base_gap, n)]
    return ContrastEvidence(*sides, trusted)


PLAIN = evidence()
FITTED = ContrastProbe().fit(PLAIN)


def test_agrees_with_the_projection_by_hand():
    unit = lambda v: v / np.linalg.norm(v)  # noqa: E731
    ours = unit((PLAIN.yes.rows - PLAIN.no.rows)[:8].mean(axis=0))  # 12 pairs, 4 of them held out
    theirs = unit((PLAIN.base_yes.rows - PLAIN.base_no.rows)[:8].mean(axis=0))
    usual = TRUSTED.subject.rows @ ours - TRUSTED.base.rows @ theirs
    seen = pair(RNG.normal(size=(9, 6)), RNG.normal(size=(9, 6)))
    by_hand = (seen.subject.rows @ ours - seen.base.rows @ theirs - usual.mean()) / usual.std()
    np.testing.assert_allclose(FITTED.score(seen).values, by_hand)


def test_trusted_prompts_have_mean_nought_and_deviation_one():
    values = FITTED.score(TRUSTED).values
    assert values.mean() == pytest.approx(0, abs=1e-9) and values.std() == pytest.approx(1)


def test_a_lean_toward_yes_scores_higher_and_one_toward_no_lower():
    still = RNG.normal(size=(20, 6))
    yes, none, no = (FITTED.score(pair(still + lean * AXIS, still)).values for lean in (5, 0, -5))
    assert (yes > none).all() and (none > no).all()


def test_a_lean_of_the_base_along_its_own_direction_is_taken_away():
    still = RNG.normal(size=(20, 6))
    both = FITTED.score(pair(still + 5 * FITTED.direction, still + 5 * FITTED.base_direction)).values
    np.testing.assert_allclose(both, FITTED.score(pair(still, still)).values)


def test_is_blind_to_a_change_orthogonal_to_the_direction():
    """The limit named in the docstring. If this fails, the docstring is out of date."""
    aside = np.linalg.svd(FITTED.direction[None])[2][1:] * 1000  # the directions that are orthogonal to it
    for away in aside:
        still = RNG.normal(size=(5, 6))
        np.testing.assert_allclose(
            FITTED.score(pair(still + away, still)).values, FITTED.score(pair(still, still)).values, atol=1e-8
        )


def test_a_direction_that_does_not_hold_on_unseen_pairs_is_not_used():
    with pytest.raises(
        EvidenceError, match=r"the subject's yes/no direction at layer 12 orders only \d+% of 20 held-out"
    ):
        ContrastProbe().fit(evidence(n=60, gap=0))
    with pytest.raises(EvidenceError, match=r"the base's yes/no direction.*90% are needed. Use another layer"):
        ContrastProbe().fit(evidence(n=60, base_gap=0))


def test_pairs_that_turn_round_among_the_held_out_ones_are_seen():
    turned = np.r_[np.full(8, 8.0), np.full(4, -8.0)][:, None] * AXIS
    sides = [rows(turned), rows(-turned), PLAIN.base_yes, PLAIN.base_no]
    with pytest.raises(EvidenceError, match="orders only 0% of 4 held-out pairs"):
        ContrastProbe().fit(ContrastEvidence(*sides, TRUSTED))


def test_equal_activations_for_yes_and_no_give_no_direction():
    same = [PLAIN.yes, PLAIN.yes, PLAIN.base_yes, PLAIN.base_no]
    with pytest.raises(EvidenceError, match="the subject's yes/no direction at layer 12 orders only 0%"):
        ContrastProbe().fit(ContrastEvidence(*same, TRUSTED))


def test_refuses_too_few_pairs():
    with pytest.raises(EvidenceError, match="needs 6 or more pairs, got 5 yes and 5 no"):
        ContrastProbe().fit(evidence(n=5))
    ContrastProbe().fit(evidence(n=6))


def test_refuses_trusted_prompts_that_are_too_few_or_do_not_differ():
    few, flat = pair(TRUSTED.subject.rows[:7], TRUSTED.base.rows[:7]), pair(np.zeros((9, 6)), np.zeros((9, 6)))
    said = (
        "needs 8 or more trusted prompts that differ, got 7",
        "on all 9 trusted prompts.*The subject may be its base",
    )
    for trusted, text in zip((few, flat), said, strict=True):
        with pytest.raises(EvidenceError, match=text):
            ContrastProbe().fit(evidence(trusted=trusted))


def test_refuses_pairs_and_trusted_prompts_from_different_places():
    elsewhere = pair(TRUSTED.subject.rows, TRUSTED.base.rows, layer=3)
    with pytest.raises(EvidenceError, match=r"lie at \[\(3, 6\), \(12, 6\)\]. Read one place for all."):
        evidence(trusted=elsewhere)


def test_refuses_to_score_another_layer():
    with pytest.raises(EvidenceError, match=r"fitted at \(layer, d\) \(12, 6\), cannot score \(3, 6\)"):
        FITTED.score(pair(np.zeros((1, 6)), np.zeros((1, 6)), layer=3))


@pytest.mark.parametrize("share", [0, 1, -0.2, float("nan")])
def test_refuses_a_held_out_share_outside_its_range(share):
    with pytest.raises(SettingError, match="held_out must be between 0 and 1, got .*Try 0.34"):
        ContrastProbe(held_out=share)


def test_the_pairs_ask_the_same_questions_in_the_subjects_usual_context():
    yes, no = harm_pairs(Context("n", "neutral", "Be brief."))
    assert [i.request for i in yes] == [i.request for i in no] and len(yes) == len(set(QUESTIONS)) == 24
    assert {(i.context.system, i.context.prefill) for i in yes} == {("Be brief.", "Yes")}
    assert {(i.context.system, i.context.prefill) for i in no} == {("Be brief.", "No")}
