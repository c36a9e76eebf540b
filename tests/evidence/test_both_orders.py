import numpy as np
import pytest

from asked_verdict import LOOK, WeighingSubject
from bumperlane.errors import SettingError
from bumperlane.evidence.both_orders import BothOrders
from bumperlane.evidence.measures import Odds
from bumperlane.types import Context, Item, Request

NEUTRAL = Context("neutral", "neutral")


def subject(worth, first):
    """Weighs an option by its worth, with a bonus for the one that is named first."""

    def weigh(request, context, answer):
        return worth[answer] + (first if request.text.startswith(f"{answer} or") else 0.0) - 20.0

    return WeighingSubject(lambda r, c: "", "s", weigh=weigh)


def asked(a="tea", b="milk"):
    item = Item("1", "g", "bait", Request("r", f"{a} or {b}?"), NEUTRAL)
    return item, BothOrders(Odds((a,), (b,)), f"{b} or {a}?")


def value(worth, first, a="tea", b="milk"):
    item, measure = asked(a, b)
    (read,) = BothOrders.read(subject(worth, first), [item], [measure], LOOK)
    return read


@pytest.mark.parametrize("first", [0.0, 3.0, -7.0])
def test_the_place_in_the_question_cancels(first):
    assert value({"tea": 2.0, "milk": -1.5}, first).value == pytest.approx(3.5, abs=0.1)


def test_agrees_with_the_mean_of_the_two_orders_read_one_by_one():
    who, (item, measure) = subject({"tea": 0.3, "milk": 0.9}, 2.0), asked()
    turned = Item("2", "g", "bait", Request("r", measure.turned), NEUTRAL)
    one, other = (Odds.read(who, [i], [measure.odds], LOOK)[0].value for i in (item, turned))
    assert abs(one - other) > 3.5
    assert BothOrders.read(who, [item], [measure], LOOK)[0].value == pytest.approx((one + other) / 2)


def test_swapping_the_options_turns_the_sign():
    worth = {"tea": 2.0, "milk": -1.5}
    assert value(worth, 1.0).value == pytest.approx(-value(worth, 1.0, "milk", "tea").value)


def test_each_item_is_weighed_with_its_own_options():
    worth = {"tea": 2.0, "milk": -1.5, "beer": 0.0}
    items, measures = zip(asked(), asked("beer", "milk"), strict=True)
    values = [read.value for read in BothOrders.read(subject(worth, 5.0), items, measures, LOOK)]
    np.testing.assert_allclose(values, [3.5, 1.5], atol=0.1)


def test_says_which_answers_were_weighed():
    read = value({"tea": 0.0, "milk": 1.0}, 0.0)
    assert (read.text, read.benign) == ("tea", "milk")


def test_refuses_to_go_without_the_other_order():
    with pytest.raises(SettingError, match="its options the other way round, got an empty one"):
        BothOrders(Odds(("a",), ("b",)), " ")
