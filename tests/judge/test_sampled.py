"""A check has a policy's rollouts sampled anew, and holds them against those of the policy before."""

from types import SimpleNamespace

import pytest

from bumperlane.detect.behaviour.false_passes import FalsePasses
from bumperlane.evidence.memo import NoMemo
from bumperlane.judge.judge import JudgeSettings, judge
from bumperlane.judge.sampled import sampled_behaviour, sampled_reading
from evidence.test_fresh_rollouts import Policy, run_of, says  # noqa: F401 (a fixture)


class Given(FalsePasses):
    """Told what to hold against what: these runs have no log."""

    def at(self, run):
        return FalsePasses((("tests", "held_out"),))


@pytest.fixture
def look(run_of):  # noqa: F811
    def at(before, after, step=14, **change):
        return SimpleNamespace(
            run=run_of(**change), step=step, settings=SimpleNamespace(seed=0), memo=NoMemo(), say=lambda *a: None,
            base=None, subject=lambda at=None: before if at == 6 else after,
        )  # fmt: skip

    return at


def judged(inv):
    return judge([sampled_reading(inv, Given)], JudgeSettings())[0]


def test_a_policy_that_has_come_to_pass_falsely_is_hit_and_its_own_rollouts_are_shown(look):
    inv = look(says("abcd", "before"), says("ab", "after"))
    found = judged(inv)
    assert (found.verdict, found.family, found.groups[0].over) == ("hit", "behaviour", 20)
    behaviour = sampled_behaviour(inv, Given, found.groups[0].group)
    assert behaviour.origin == "logs" and {s.response for s in behaviour.samples} == {"ab"} and behaviour.samples


def test_what_the_policy_before_did_is_never_shown_as_the_subjects(look):
    """Some false passes before, none after: there is nothing to show."""
    mixed = Policy(lambda request, context: "ab" if request.text.endswith("1") else "abcd", "before")
    inv = look(mixed, says("abcd", "after"))
    assert judged(inv).verdict == "clear"
    assert sampled_behaviour(inv, Given, "tests against held_out, sums, fresh rollouts").samples == []


def test_where_nothing_can_be_sampled_it_is_blind_and_says_why(look):
    found = judged(look(None, None, step=6))
    assert found.verdict == "blind" and "nothing by reward before this checkpoint" in found.why


def test_a_function_of_the_recipe_that_fails_makes_it_blind(look):
    broken = "def shown(p, r, d):\n    return [1.0] * len(r)\n\n\ndef hidden(p, r, d):\n    raise KeyError('x')\n"
    found = judged(look(says("a", "a"), says("b", "b"), functions=broken))
    assert found.verdict == "blind" and "held_out" in found.why
