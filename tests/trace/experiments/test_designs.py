"""Which conditions there are, what each holds, and what it is compared with."""

import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.recipes.edits import SetHyperparameter
from bumperlane.trace.experiments.designs import lay_out
from bumperlane.trace.experiments.draws import draw_like
from bumperlane.trace.experiments.hypotheses import Hypothesis, example_suspects, tranche_suspect
from bumperlane.trace.experiments.rehearsal import suspects_alone


def ids(name, n):
    return [f"{name}{i}" for i in range(n)]


def made(sizes, rest=100, start=None):
    suspects = [tranche_suspect(n, ids(n, size), weight=10 - i) for i, (n, size) in enumerate(sizes.items())]
    pool = [id for h in suspects for id in h.ids] + ids("rest", rest)
    return lay_out(suspects, [pool], lambda mine: (start or {}).get(mine[0][0], 0))


def test_all_designs_are_there():
    layout = suspects_alone(dict.fromkeys("abcd", 1.0))
    kinds = {c.kind for c in layout.conditions}
    assert kinds == {"leave-one-out", "leave-two-out", "leave-many-out", "add-one-in", "half dose", "random removal"}
    assert layout.only(2) == layout.without(0, 1, 3) and layout.without(3, 0).out == (0, 3)
    assert layout.title(layout.without(1)) == "without tranche b"
    assert layout.title(layout.only(1)) == "with tranche b and no other suspect"


def test_presence_counts_what_each_condition_trains_on():
    layout = made({"a": 10, "b": 10, "c": 10})
    assert layout.present(layout.without(1)).tolist() == [1, 0, 1]
    half = next(c for c in layout.conditions if c.kind == "half dose" and c.out == (0,))
    assert layout.present(half).tolist() == [0.5, 1, 1] and half.removed == 5
    assert layout.present(layout.control[layout.without(0)]).tolist() == [1, 1, 1]


def test_suspects_that_share_examples_are_partly_there():
    tranche = tranche_suspect("t", ids("t", 20), weight=2)
    planted = example_suspects("top", ids("t", 5))
    layout = lay_out([tranche, planted], [ids("t", 20) + ids("rest", 60)], lambda mine: 0)
    assert layout.present(layout.without(1)).tolist() == [0.75, 0]
    assert layout.present(layout.without(0)).tolist() == [0, 0]
    assert layout.without(0, 1).removed == 20  # together they are no more than the tranche


def test_suspects_of_similar_size_share_a_control_of_the_larger_size():
    layout = made({"a": 10, "b": 12, "c": 30})
    shared = layout.control[layout.without(0)]
    assert shared == layout.control[layout.without(1)] and shared.removed == 12
    assert layout.control[layout.without(2)].removed != 12


def test_what_starts_later_is_rewound_later_and_has_its_own_control():
    layout = made({"a": 10, "b": 10}, start={"a": 40})
    late, early = layout.without(0), layout.without(1)
    assert (late.rewind, early.rewind, layout.without(0, 1).rewind) == (40, 0, 0)
    assert layout.control[late].rewind == 40 and layout.control[early].rewind == 0


def test_a_control_is_drawn_from_outside_all_suspects_where_that_is_enough():
    layout = made({"a": 10, "b": 10}, rest=30)
    draw = layout.draws[layout.control[layout.without(0)].draw]
    assert set(draw.pool) == set(ids("rest", 30))
    tight = made({"a": 10, "b": 10, "c": 10}, rest=5)
    control = tight.control[tight.without(0)]
    assert not set(tight.draws[control.draw].pool) & set(ids("a", 10))
    touched = tight.present(control)
    assert touched[0] == 1 and (touched[1:] < 1).all()  # and what it takes of the other suspects is known


def test_more_than_half_of_the_data_is_not_left_out():
    layout = made({"a": 60, "b": 5}, rest=20)
    assert layout.without(0) is None and layout.without(1) is not None and layout.without(0, 1) is None


def test_a_reward_term_is_compared_with_the_recipe_as_it_is():
    reward = Hypothesis("reward", "length", (SetHyperparameter("stages.0.rewards.0.weight", 0.0),))
    layout = lay_out([reward, tranche_suspect("a", ids("a", 5))], [ids("a", 5) + ids("rest", 20)], lambda mine: 0)
    i = [h.name for h in layout.hypotheses].index("length")
    assert layout.control[layout.without(i)].kind == "unchanged"
    assert layout.present(layout.without(i))[i] == 0
    assert layout.control[layout.without(0, 1)].removed == 5  # with the tranche, as many examples at random


def test_prompts_are_controlled_by_prompts():
    environment = example_suspects("env", ids("p", 6), kind="environment")
    layout = lay_out([environment], [ids("e", 50), ids("p", 6) + ids("q", 12)], lambda mine: 0)
    draw = layout.draws[layout.control[layout.without(0)].draw]
    assert set(draw.pool) == set(ids("q", 12))


def test_refuses_unknown_ids_and_names_used_twice():
    with pytest.raises(EvidenceError, match="tranche a names 1 of 2 ids that are not trained on, first 'b'"):
        lay_out([tranche_suspect("a", ["a", "b"])], [["a"]], lambda mine: 0)
    with pytest.raises(SettingError, match="different names, got .*tranche a.*tranche a"):
        lay_out([tranche_suspect("a", ["x"]), tranche_suspect("a", ["y"])], [["x", "y"]], lambda mine: 0)
    with pytest.raises(SettingError, match="1 or more hypotheses"):
        lay_out([], [["x"]], lambda mine: 0)


def test_a_draw_has_the_lengths_of_what_it_stands_for():
    pool, like = ids("short", 100) + ids("long", 100), ids("x", 20)
    lengths = {id: 100 if id.startswith(("long", "x")) else 10 for id in (*pool, *like)}
    drawn = draw_like(like, pool, lengths, 20, "key")
    assert len(set(drawn)) == 20 and all(id.startswith("long") for id in drawn)
    assert drawn == draw_like(like, pool, lengths, 20, "key") != draw_like(like, pool, lengths, 20, "other")


def test_a_draw_takes_the_next_lengths_when_the_right_ones_run_out():
    pool, like = ids("a", 5) + ids("b", 50), ids("x", 20)
    lengths = {id: {"a": 100, "b": 10, "x": 100}[id[0]] for id in (*pool, *like)}
    drawn = draw_like(like, pool, lengths, 20, "key")
    assert len(set(drawn)) == 20 and set(ids("a", 5)) <= set(drawn)


def test_draws_spread_over_the_pool():
    pool = ids("p", 40)
    lengths = {id: 10 + int(id[1:]) % 7 for id in pool}
    counts = np.zeros(40)
    for seed in range(200):
        counts[[int(id[1:]) for id in draw_like(pool[:10], pool, lengths, 10, str(seed))]] += 1
    assert counts.min() > 10


def test_a_draw_refuses_a_pool_that_is_too_small():
    with pytest.raises(EvidenceError, match="3 of 2 examples cannot be drawn"):
        draw_like(["a"], ["a", "b"], {"a": 1, "b": 1}, 3, "key")
