"""From the name of a group that was hit to its rollouts."""

import numpy as np
import pytest

from bumperlane.errors import EvidenceError
from bumperlane.evidence import like_examples, log_hits
from bumperlane.evidence.harmful_examples import BAD
from bumperlane.evidence.log_hits import flags_of, in_environment, in_steps
from bumperlane.evidence.rollouts import rollouts_of
from evidence.test_traits import words

TRAIT = "harmful replies, chat, steps 5-9"


@pytest.fixture(autouse=True)
def _words(monkeypatch):
    monkeypatch.setattr(like_examples, "minilm", words)


@pytest.fixture
def table():
    """Ten steps of two environments; from step 5 on the chat is rude, and code passes its visible test alone."""
    return rollouts_of([
        {"id": f"{step}/{where}/{i}", "step": step, "group": f"{where}{i}", "environment": where,
         "response": BAD[i] if step >= 5 and where == "chat" else "It is 42.",
         "rewards": {"tests": 1.0}, "checks": {"held_out": float(step < 5 or where == "chat")}}
        for step in range(10) for where in ("chat", "code") for i in range(4)
    ])  # fmt: skip


def test_a_traits_rollouts_are_those_of_its_environment_whose_reply_has_it(table):
    flags = flags_of(table, TRAIT)
    chat = table.environment == table.environments.index("chat")
    assert (flags.values == (chat & (table.step >= 5))).all() and (flags.known == chat).all()
    assert flags.name == "harmful replies" and flags.reads == ()


def test_a_pairs_rollouts_are_those_in_which_the_two_are_apart(table):
    flags = flags_of(table, "tests against held_out, code, steps 5-9")
    code = table.environment == table.environments.index("code")
    assert (flags.values == (code & (table.step >= 5))).all() and flags.known.all()


def test_only_the_rows_that_are_asked_for_are_read(table):
    rows = np.flatnonzero(in_environment(table, TRAIT) & in_steps(table, TRAIT))
    flags = flags_of(table, TRAIT, rows)
    assert flags.known.sum() == len(rows) == 20 and flags.values[rows].all()


def test_of_many_rollouts_whole_prompts_are_read_at_every_step(monkeypatch):
    monkeypatch.setattr(log_hits, "MOST_READ", 20)
    rows = [
        {"id": f"{step}/{p}/{i}", "step": step, "group": f"p{p}", "response": BAD[0], "rewards": {"score": 1.0}}
        for step in range(10) for p in range(3) for i in range(2)
    ]  # fmt: skip
    table = rollouts_of(rows)
    known = flags_of(table, "harmful replies, steps 0-9").known
    assert known.sum() == 20 and set(table.step[known].tolist()) == set(range(10))
    cells = np.stack([table.step, table.group], axis=1)
    assert all(known[(cells == cell).all(axis=1)].sum() in (0, 2) for cell in cells)


def test_a_group_of_another_bumper_is_refused(table):
    with pytest.raises(EvidenceError, match="names no two of its checks"):
        flags_of(table, "length, steps 1-2")


def test_no_such_rollouts_are_an_error(table):
    with pytest.raises(EvidenceError, match="no rollouts of 'harmful replies, chat, steps 70-80'"):
        flags_of(table, "harmful replies, chat, steps 70-80", np.array([], int))
