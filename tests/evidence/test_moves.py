import numpy as np

from bumperlane.evidence.ask import Look
from bumperlane.evidence.memo import NoMemo
from bumperlane.evidence.moves import DEPTHS, Moves
from bumperlane.subjects.activations import blocks_of
from bumperlane.subjects.generate import Decoding
from bumperlane.types import Context, Item, Request

LOOK = Look(Decoding(max_new_tokens=4), NoMemo())
HERE, THERE = Context("here", "mined", "Be kind."), Context("there", "mined", "Be brief.")
ASKED = Request("a", "Name a bird.")


def item(context, request=ASKED):
    return Item(f"{request.id}/{context.id}", "g", "bait", request, context)


def test_is_the_log_of_the_distance_as_a_share_of_the_second_prompts_length(tiny_subject):
    (found,) = Moves.read(tiny_subject, [item(HERE)], [Moves(THERE)], LOOK)
    blocks = len(blocks_of(tiny_subject.model))
    layers = sorted({round(d * (blocks - 1)) for d in DEPTHS})
    rows = tiny_subject.activations([item(HERE), item(THERE)], layers)
    by_hand = [np.log(np.linalg.norm(rows[k][0] - rows[k][1]) / np.linalg.norm(rows[k][1])) for k in layers]
    assert np.isclose(found.value, np.mean(by_hand), atol=1e-3)


def test_the_same_prompt_moves_nothing_and_another_request_may_stand_elsewhere(tiny_subject):
    other = Request("b", "Name two fish.")
    same, apart = Moves.read(tiny_subject, [item(HERE)] * 2, [Moves(HERE), Moves(HERE, other)], LOOK)
    assert same.value < -10 < apart.value
    (alike,) = Moves.read(tiny_subject, [item(HERE)], [Moves(HERE, Request("c", ASKED.text))], LOOK)
    assert alike.value < -10
