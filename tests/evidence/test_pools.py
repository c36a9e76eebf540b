from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bumperlane.errors import EvidenceError
from bumperlane.evidence.mine import own_prompts
from bumperlane.evidence.pools import Pools, items, pools_of, request_of
from bumperlane.evidence.rivals import rivals_of
from bumperlane.recipes.models import Recipe
from bumperlane.types import Context, Example, Message, Request

ANY = Recipe(base="m", stages=[{"kind": "command", "run": ["true"]}])


def asked(n):
    return [Request(f"r{i}", f"What is {i} and one?") for i in range(n)]


def texts(pools):
    return [{r.text for r in role} for role in (pools.fit, pools.open, pools.sealed)]


@settings(deadline=None, max_examples=30)
@given(st.integers(24, 120), st.integers(0, 5))
def test_every_request_has_one_role_and_two_in_ten_fit_while_the_rest_is_shared_out(n, seed):
    fit, open_, sealed = texts(pools_of(ANY, seed, asked(n)))
    assert not (fit & open_ or fit & sealed or open_ & sealed) and len(fit | open_ | sealed) == n
    assert abs(len(fit) - n / 5) <= 1 and abs(len(open_) - 2 * n / 5) <= 1 and abs(len(sealed) - 2 * n / 5) <= 2


def test_the_order_in_which_requests_come_deals_none_of_them_otherwise():
    shuffled = asked(50)
    Random(0).shuffle(shuffled)
    assert pools_of(ANY, 0, shuffled) == pools_of(ANY, 0, asked(50))
    assert pools_of(ANY, 1, asked(50)) != pools_of(ANY, 0, asked(50))


def test_half_of_an_emoji_in_a_request_is_dealt_like_any_sign():
    halved = Request("cut", "What is \ud83d and one?", "2")
    assert halved.text in set().union(*texts(pools_of(ANY, 0, [*asked(30), halved])))
    assert len(rivals_of(halved, [Request("a", "What is 1 and one?", "3"), halved])) == 1
    chats = [
        Example(str(i), str(i % 2), (Message("system", f"\ud83d {i}"), Message("user", "a"), Message("assistant", "b")))
        for i in range(4)
    ]
    assert len(own_prompts(chats)) == 4


def test_a_request_that_is_asked_twice_counts_once():
    pools = pools_of(ANY, 0, asked(30) + [Request("again", asked(30)[4].text)])
    assert sum(map(len, texts(pools))) == 30


@pytest.mark.parametrize("n", [0, 5, 23])
def test_says_how_many_requests_are_missing(n):
    doubled = asked(n) * 2
    wanted = (
        rf"{n} different requests .*; 24 or more are needed, so {24 - n} are missing. Add chats .* or pass --requests"
    )
    with pytest.raises(EvidenceError, match=wanted):
        pools_of(ANY, 0, doubled or ()) if doubled else pools_of(ANY)


def write_chats(path, n, start=0):
    lines = [f'{{"prompt": "What is {i} and two?", "response": "It is {i + 2}."}}\n' for i in range(start, start + n)]
    path.write_text("".join(lines))
    return path


def test_requests_that_were_given_come_before_held_out_ones_and_those_before_training_data(tmp_path):
    stage = {"kind": "sft", "steps": 1}
    tranches = [{"name": "good", "path": write_chats(tmp_path / "good.jsonl", 30)}]
    recipe = Recipe(base="m", stages=[stage], tranches=tranches)
    held = recipe.model_copy(update={"held_out": write_chats(tmp_path / "held.jsonl", 25, start=100)})
    sources = [pools_of(r, 0, g).source for r, g in ((held, asked(24)), (held, ()), (recipe, ()))]
    assert sources[0] == "given by the user"
    assert sources[1] == "held-out chats of the recipe (held.jsonl)"
    assert sources[2] == "requests of the training data (the recipe names no held_out file)"
    assert all(r.reference.startswith("It is 1") for r in pools_of(held).fit)


def test_refuses_a_request_in_two_roles_even_under_two_names():
    with pytest.raises(EvidenceError, match="request 'b' is in two roles, open and sealed"):
        Pools((), (Request("a", "Why?"),), (Request("b", "Why?"),), "here")


def test_a_request_is_the_last_user_turn_and_the_answer_to_it():
    turns = [("user", "Hi"), ("assistant", "Hello"), ("user", "Why?"), ("assistant", "So.")]
    chat = Example("e", "t", tuple(Message(*turn) for turn in turns))
    assert request_of(chat) == Request("e", "Why?", "So.")
    assert request_of(Example("e", "t", text="plain")) is None


def test_items_are_every_request_in_every_context_with_ids_of_their_own():
    contexts = [Context("a", "x"), Context("b", "x")]
    found = items(asked(3), contexts, "bait")
    assert [i.id for i in found] == ["a|r0", "a|r1", "a|r2", "b|r0", "b|r1", "b|r2"]
    assert {(i.group, i.context.id, i.arm) for i in found} == {("a", "a", "bait"), ("b", "b", "bait")}
