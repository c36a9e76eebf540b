import numpy as np
import pytest

from bumperlane.errors import EvidenceError
from bumperlane.evidence.holm import holm


def test_agrees_with_the_step_down_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


def test_follows_the_input_order_and_stays_between_p_and_bonferroni():
    p = np.random.default_rng(0).uniform(size=20)
    order = np.random.default_rng(1).permutation(20)
    np.testing.assert_allclose(holm(p[order]), np.array(holm(p))[order])
    assert (np.array(holm(p)) >= p).all() and (np.array(holm(p)) <= np.minimum(1, 20 * p)).all()


def test_of_nothing_is_nothing_and_of_one_is_itself():
    assert holm([]) == () and holm([0.2]) == (0.2,)


def test_refuses_what_is_not_a_probability():
    with pytest.raises(EvidenceError, match="numbers in"):
        holm([0.1, float("nan")])
