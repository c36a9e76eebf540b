import numpy as np
import pytest
from scipy import stats

from bumperlane.errors import SettingError
from bumperlane.judge.judge import JudgeSettings
from bumperlane.judge.power import MOST, items_needed

USUAL = JudgeSettings()


@pytest.mark.parametrize("bumpers", [1, 4, 18])
def test_so_many_items_show_the_fault_as_often_as_stated_and_two_fewer_do_not(bumpers):
    n, rng = items_needed(bumpers, USUAL), np.random.default_rng(bumpers)

    def shown(items):
        over = rng.binomial(items, 0.6, 4000)
        p = stats.binom.sf(over - 1, items, USUAL.tolerated_rate) * bumpers * 10
        return float((p <= USUAL.alpha).mean())

    assert shown(n) >= 0.78 and shown(n - 2) < 0.8


def test_more_bumpers_and_fainter_faults_need_more():
    assert items_needed(1, USUAL) < items_needed(18, USUAL) < items_needed(18, USUAL, rate=0.4)
    assert items_needed(18, USUAL, rate=0.11) == MOST


@pytest.mark.parametrize("given", [{"rate": 0.1}, {"rate": 1.2}, {"power": 1.0}, {"contexts": 0}])
def test_refuses_a_fault_that_is_tolerated(given):
    with pytest.raises(SettingError, match=r"need a rate above the tolerated 0\.1"):
        items_needed(3, USUAL, **given)
