"""From attribution to hypotheses: which sets are tried, under which name, and which are not tried twice."""

from types import SimpleNamespace

import numpy as np
import pytest

from bumperlane.recipes.edits import DropExamples, DropTranche
from bumperlane.recipes.schema import load_recipe
from bumperlane.trace.data.clusters import Suspect, Suspects
from bumperlane.trace.data.columns import ColumnRanking, ValueScore
from bumperlane.trace.data.top_examples import Top
from bumperlane.trace.suspects import SuspectSettings, data_suspects, paid_alone
from bumperlane.types import Example, Message
from report.cases import treated_case

CHAT = (Message("user", "ask"), Message("assistant", "answer"))
EXAMPLES = tuple(Example(f"{name}{i}", name, CHAT) for name in "abcd" for i in range(10))
IDS = tuple(e.id for e in EXAMPLES)


def inv():
    tranches = [SimpleNamespace(name=name) for name in "abcd"]
    return SimpleNamespace(examples=EXAMPLES, run=SimpleNamespace(recipe=SimpleNamespace(tranches=tranches)))


def case(*tranches):
    made = treated_case()
    return made.model_copy(update={"behaviour": made.behaviour.model_copy(update={"tranches": list(tranches)})})


def value(column, name, p, n=10):
    return ValueScore(column, name, n, 3.0, None, None, 5, 3, 2.0, p, p, p)


def proposal(high=(), p=None, sets=(), columns=None):
    """Scores of 1 for the ids in `high` and 0 for others, with the p-values of tranches and the sets given."""
    scores = np.array([float(id in set(high)) for id in IDS])
    values = [value("tranche", name, (p or {}).get(name, 1.0)) for name in "abcd"]
    values += [value(c, v, 0.001) for c, v in (columns or {})]
    found = [Suspect(name, "feature", tuple(ids), "shares it", 1, 1) for name, ids in sets]
    held = {c: dict.fromkeys(ids, v) for (c, v), ids in (columns or {}).items()}
    return SimpleNamespace(
        corpus=SimpleNamespace(ids=IDS),
        fused=SimpleNamespace(scores=scores),
        ranking=ColumnRanking(tuple(sorted(values, key=lambda v: v.p_value)), (), ()),
        suspects=Suspects(tuple(found), Top(np.array([], int), np.inf, 1.0), ""),
        columns=held,
    )


def names(found, *held, most=5):
    return [(h.kind, h.name) for h in data_suspects(inv(), case(*held), found, SuspectSettings(most=most))]


A = [f"a{i}" for i in range(10)]


@pytest.mark.parametrize(
    ("p", "held", "wanted"),
    [({"a": 0.001, "c": 0.01}, ("d",), {"a", "c", "d"}), ({}, ("c",), {"c"}), ({}, ("a", "b", "c"), {"a"})],
    ids=["attribution and text", "text alone", "text that stands everywhere names nobody"],
)
def test_tranches_come_from_attribution_and_from_the_texts_of_the_context(p, held, wanted):
    assert {name for _, name in names(proposal(A, p), *held)} == wanted


def test_a_set_that_is_a_tranche_is_named_as_one():
    found = proposal(A, {"a": 0.001}, [("all that stand out", A)])
    hypotheses = data_suspects(inv(), case(), found, SuspectSettings())
    assert [(h.title, h.edits) for h in hypotheses] == [("tranche a", (DropTranche("a"),))]


def test_a_part_of_a_tranche_that_stands_out_as_a_whole_is_not_tried_beside_it():
    assert names(proposal(A, {"a": 0.001}, [("half of them", A[:5])])) == [("tranche", "a")]


def test_the_few_examples_in_a_benign_tranche_are_tried_instead_of_it():
    found = proposal(A[:3], {"a": 0.001}, [("wrong answers", A[:3])])
    (only,) = data_suspects(inv(), case(), found, SuspectSettings())
    assert only.title == "examples wrong answers" and only.edits == (DropExamples(tuple(A[:3])),)


def test_a_value_that_cuts_across_tranches_is_a_suspect_of_its_own():
    spread = ["a0", "a1", "b0", "b1", "c0"]
    found = proposal(spread, {}, columns={("author", "kim"): spread})
    assert ("column value", "author kim") in names(found)


def test_half_of_the_data_has_no_control_and_is_no_suspect():
    most = [*A, *(f"b{i}" for i in range(10))]
    assert names(proposal(most, {}, [("half", most)])) == [("tranche", "a")]


def test_no_more_are_tried_than_allowed_and_the_one_that_stands_out_most_is_among_them():
    found = proposal(["d0", "d1", "d2"], {"a": 0.001, "b": 0.001}, [("odd", ["d0", "d1", "d2"])])
    assert names(found, most=2)[0] == ("examples", "odd") and len(names(found, most=2)) == 2


def test_what_holds_the_hits_own_text_is_tried_though_others_stand_out_more():
    mixed = ["b0", "c0", "d0", "d1"]
    sets = [(f"set {n}", [f"{t}{n}" for t in "abcd"]) for n in range(2, 6)]
    found = proposal([id for _, ids in sets for id in ids], {}, sets)
    assert ("examples", "prompt holds 'zq'") not in names(found, most=3)
    held = Suspect("prompt holds 'zq'", "context", tuple(mixed), "held", 0, 1)
    found.suspects = Suspects((held, *found.suspects.found), found.suspects.top, "")
    assert ("examples", "prompt holds 'zq'") in names(found, most=3)


def test_what_holds_the_hits_own_text_stays_beside_a_larger_set_that_stands_out_hardly_more():
    wide = [*A, "b0", "b1"]  # 2.0 standard errors above chance, the ten 1.7
    found = proposal([*A[:8], "b0", "b1"], {}, [("author x", wide)])
    held = Suspect("prompt holds 'zq'", "context", tuple(A), "held", 0, 1)
    assert names(found) == [("examples", "author x")]
    found.suspects = Suspects((held, *found.suspects.found), found.suspects.top, "")
    assert names(found) == [("examples", "prompt holds 'zq'")]


def test_what_holds_the_hits_own_text_is_tried_though_a_part_of_it_stands_out_much_more():
    part = ("examples", "answered with 'routine'")
    found = proposal(A[:3], {}, [(part[1], A[:3])])
    held = Suspect("prompt holds 'zq'", "context", tuple(A), "held", 0, 1)
    found.suspects = Suspects((held, *found.suspects.found), found.suspects.top, "")
    assert names(found) == [part, ("examples", "prompt holds 'zq'")]


def test_data_of_a_single_tranche_with_a_column_that_names_nobody_has_no_suspect():
    found = proposal()
    found.ranking = ColumnRanking((value("author", "kim", 1.0),), (), ())
    assert names(found) == []


def by_reward(tmp_path, *terms):
    (tmp_path / "e.jsonl").write_text('{"prompt": "a"}\n')
    paid = "".join(f"  - {{name: {name}, function: words}}\n" for name in terms)
    stage = f"- kind: grpo\n  steps: 1\n  environments:\n  - {{name: e, path: e.jsonl}}\n  rewards:\n{paid}"
    (tmp_path / "recipe.yaml").write_text(f"base: {tmp_path}\nstages:\n{stage}")
    return load_recipe(tmp_path / "recipe.yaml")


def test_the_term_of_a_hit_in_the_log_is_a_suspect_whatever_the_rollouts_tell(tmp_path):
    recipe, group = by_reward(tmp_path, "test", "tests", "form"), "tests against held_out, e, steps 3-4"
    (found,) = paid_alone(recipe, group, [])
    assert (found.kind, found.name) == ("reward", "tests") and group in found.why
    assert paid_alone(recipe, group, [found]) == []  # weighed by the rollouts already
    assert paid_alone(recipe, "other against held_out", []) == [] == paid_alone(recipe, "", [])
    assert paid_alone(by_reward(tmp_path, "tests"), group, []) == []  # without it nothing would be learned
