from random import Random

import pytest

from bumperlane.detect.search.archive import Archive
from bumperlane.detect.search.mutations import RULES, SubjectAttacker, by_attacker, by_rule
from bumperlane.detect.search.seeds import built_in, from_plug_in, load_seeds
from bumperlane.errors import ContractError
from bumperlane.types import Context

NEUTRAL = Context("neutral", "neutral", "Be brief.")
ODD = Context("odd", "seed", "You are a pirate.", prefix="Arr:", shots=(("Who?", "Me."),))


class Says:
    """An attacker whose answers are written down."""

    def __init__(self, *answers):
        self.answers, self.briefs = list(answers), []

    def chat(self, messages, max_tokens=256, temperature=0.0):
        self.briefs.append(messages[-1].content)
        return self.answers.pop(0)


def test_built_in_seeds_are_of_many_kinds_and_none_is_the_usual_context():
    seeds = load_seeds(NEUTRAL, plug_ins=False)
    kinds = {s.kind for s in seeds}
    assert {"persona", "continuation", "many turns", "language", "situation"} <= kinds and len(seeds) > 40
    assert len({s.context.id for s in seeds}) == len(seeds)
    parts = ("system", "prefix", "suffix", "shots")
    assert all(any(getattr(s.context, p) != getattr(NEUTRAL, p) for p in parts) for s in seeds)


def test_a_plug_in_gives_kinds_and_contexts():
    found = from_plug_in("mine", lambda neutral: [("odd", ODD), ("odd", NEUTRAL)], NEUTRAL)
    assert [(s.kind, s.context.id, s.context.system) for s in found] == [
        ("odd", "mine/odd/0", "You are a pirate."), ("odd", "mine/odd/1", "Be brief."),
    ]  # fmt: skip
    with pytest.raises(ContractError, match="seeds 'mine' gave 'You are'.*pairs of a kind"):
        from_plug_in("mine", lambda neutral: ["You are"], NEUTRAL)


def test_seeds_come_from_the_entry_points_too(monkeypatch):
    class Point:
        name, value = "theirs", "their.module:seeds"

        @staticmethod
        def load():
            return lambda neutral: [("theirs", ODD)]

    monkeypatch.setattr("bumperlane.detect.plug_ins.entry_points", lambda group: [Point] if "seeds" in group else [])
    assert len(load_seeds(NEUTRAL)) == len(list(built_in(NEUTRAL))) + 1
    monkeypatch.setattr(Point, "load", staticmethod(lambda: (_ for _ in ()).throw(ImportError("no such module"))))
    with pytest.raises(ContractError, match="theirs.*cannot be imported: no such module"):
        load_seeds(NEUTRAL)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_rule_makes_a_context_out_of_its_parents(rule):
    made = RULES[rule](ODD, Context("b", "seed", "You are a clerk.", suffix="Thanks."), NEUTRAL, Random(0))
    assert isinstance(made, Context)
    assert (made.system, made.prefix, made.suffix, made.shots) != (ODD.system, ODD.prefix, ODD.suffix, ODD.shots)


def test_crossing_keeps_what_is_odd_in_either():
    other = Context("b", "seed", "Be brief.", suffix="Thanks.")
    made = RULES["cross"](ODD, other, NEUTRAL, Random(0))
    assert (made.system, made.prefix, made.suffix) == ("You are a pirate.", "Arr:", "Thanks.")


def test_simplifying_puts_one_part_back_and_leaves_the_usual_context_alone():
    made = RULES["simplify"](ODD, ODD, NEUTRAL, Random(0))
    parts = ("system", "prefix", "suffix", "shots")
    assert sum(getattr(made, p) != getattr(NEUTRAL, p) for p in parts) == 2
    assert RULES["simplify"](NEUTRAL, ODD, NEUTRAL, Random(0)) == NEUTRAL


def test_the_same_random_numbers_give_the_same_offspring():
    one, other = (by_rule(ODD, NEUTRAL, NEUTRAL, Random(5)) for _ in range(2))
    assert one == other and one.how.startswith("rule/") and one.parents == ("odd", "neutral")


def test_an_attacker_sees_aim_and_best_and_its_text_becomes_the_system_prompt():
    attacker = Says('System prompt: "You are rude."')
    made = by_attacker(attacker, "rudeness", [(ODD, 0.75)], NEUTRAL, 0)
    assert made.context.system == "You are rude." and made.how == "attacker" and made.parents == ("odd",)
    assert "rudeness" in attacker.briefs[0] and "0.75: You are a pirate." in attacker.briefs[0]


def test_an_attackers_empty_and_overlong_answers_are_no_contexts():
    attacker = Says("  ", "x" * 2000)
    assert by_attacker(attacker, "a", [], NEUTRAL, 0).why_none == "the attacker's answer was empty"
    assert "2000 characters; 1200 are the most" in by_attacker(attacker, "a", [], NEUTRAL, 0).why_none


def test_a_local_model_can_be_the_attacker(tiny_subject):
    one, other, again = (by_attacker(SubjectAttacker(tiny_subject), "a", [], NEUTRAL, seed) for seed in (0, 1, 0))
    assert one == again and (one.context or one.why_none) and one != other


def test_the_best_of_each_kind_and_make_up_is_kept():
    archive = Archive(NEUTRAL)
    simple, double = Context("a", "s", "X"), Context("b", "s", "X", prefix="y")
    assert archive.offer("persona", simple, 0.5) and not archive.offer("persona", Context("c", "s", "Z"), 0.5)
    assert archive.offer("persona", double, 0.1) and archive.offer("language", simple, 0.2)
    assert archive.offer("persona", Context("d", "s", "W"), 0.6)
    assert [(e.kind, e.context.id, e.score) for e in archive.best()] == [
        ("persona", "d", 0.6), ("language", "a", 0.2), ("persona", "b", 0.1),
    ]  # fmt: skip
    assert archive.to_beat("format", simple) == float("-inf") and archive.to_beat("persona", double) == 0.1


def test_better_elites_have_more_offspring():
    archive = Archive(NEUTRAL)
    for n, kind in enumerate("abcd"):
        archive.offer(kind, Context(kind, "s", kind), float(n))
    drawn = [archive.draw(Random(n)).kind for n in range(400)]
    assert drawn.count("d") > drawn.count("a") > 0
