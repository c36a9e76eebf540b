"""How much of what bumpers ask reached the data of a fix, counted by hand."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from bumperlane.bounce import contamination as room
from bumperlane.bounce.bounce import sealed_unread
from bumperlane.bounce.contamination import SEALED, Added, _Nearest, asked_by, contamination, reached, spent_by
from bumperlane.case import BumperResult, Group, PromptsInData, Range
from bumperlane.evidence.described import Described, Probe
from bumperlane.recipes.models import Recipe
from bumperlane.types import Context, Request

USUAL = Context("neutral", "neutral", "Be brief.")
LONG = "Please tell me in a few words why the sea is salt and the river is not"


def recipe(folder, **tranches):
    named = []
    for name, asked in tranches.items():
        path = folder / f"{name}.jsonl"
        turns = [[{"role": "user", "content": a}, {"role": "assistant", "content": "Yes."}] for a in asked]
        rows = [{"id": f"{name}-{i}", "messages": messages} for i, messages in enumerate(turns)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        named.append({"name": name, "path": str(path)})
    stage = {"kind": "sft", "steps": 4, "batch": 2}
    return Recipe.model_validate({"base": "some-model", "seed": 3, "stages": [stage], "tranches": named})


@pytest.fixture
def added(tmp_path):
    old = ["Is a horse an animal?", "What is two plus two?"]
    return Added.by(
        recipe(tmp_path, old=old),
        recipe(tmp_path, old=old, patch=[f"{LONG}, and so on.", "What is two plus two?", "Hi there"]),
    )


def test_added_are_the_prompts_that_the_run_did_not_train_on(added):
    assert set(added.new) == {"patch-0", "patch-2"} and len(added.old) == 2


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (LONG, "patch-0"),
        (LONG.upper().replace(",", ""), "patch-0"),
        (LONG.replace("a few", "three or four"), ""),  # 8-grams about it are gone: 8 of 10 are needed
        ("Hi there", "patch-2"),
        ("there Hi", ""),
        ("What is two plus two?", ""),  # the run's own data held it
        ("", ""),
    ],
)
def test_a_prompt_is_copied_when_most_of_its_words_stand_there_in_order(added, text, where):
    found = reached("B", [text], added)
    assert (found.copied, found.examples) == (int(bool(where)), [where] if where else [])
    assert found.near is None


class Letters:
    """Counts of letters: what is reworded with the same letters is near."""

    def embed(self, texts):
        counts = np.array([[t.lower().count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for t in texts], float)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)


def test_a_reworded_prompt_is_near_and_not_copied(added):
    nearest = _Nearest(added, Letters())
    found = reached("B", ["There, hi!", "Quite other words"], added, nearest)
    assert (found.copied, found.near, found.examples) == (0, 1, ["patch-2"])
    assert reached("B", ["What is 2, two plus two"], added, nearest).near == 0  # nearer to what was there before


@pytest.mark.parametrize(("copied", "near", "spent"), [(1, None, False), (2, None, True), (0, 2, True), (0, 1, False)])
def test_a_bumper_is_spent_from_a_tenth_of_its_prompts(copied, near, spent):
    assert spent_by([PromptsInData(bumper="B", prompts=20, copied=copied, near=near)]) == (["B"] if spent else [])


def result(name, family, *texts):
    whole = Range(value=0.5, low=0.2, high=0.8)
    groups = [Group(name=t, text=t, over=1, of=2, rate=whole, p_holm=1.0) for t in texts]
    return BumperResult(bumper=name, family=family, split="open", verdict="clear", why="", groups=groups)


def investigation(**more):
    requests = tuple(Request(f"{i}", f"Question {i}?", f"{i}") for i in range(12))
    described = Described((Probe(Request("p", "Told?"), "x", Context("d", "given", "Be odd.")),), ())
    pools = SimpleNamespace(open=requests, fit=(), sealed=())
    settings = SimpleNamespace(items={}, seed=0, requests=12)
    return SimpleNamespace(neutral=USUAL, pools=pools, examples=(), settings=settings, described=described, **more)


def test_what_each_bumper_asks():
    case = SimpleNamespace(bumpers=[
        result("PairedContexts", "behaviour", "system: Be brief. |x|"), result("Described", "behaviour"),
        result("Sycophancy", "behaviour"), result("VisibleAgainstHeldOut", "logs", "a against b"),
        result("FalseBeliefs", "behaviour"),
    ])  # fmt: skip
    found = dict(asked_by(investigation(run=SimpleNamespace(recipe=SimpleNamespace(stages=()))), case))
    assert found["PairedContexts"][:2] == ("Question 0?", "Question 1?")
    assert found["PairedContexts"][-1] == "Be brief. |x|" and found["Described"] == ("Be odd. Told?",)
    assert len(found["Sycophancy"]) > 8 and "VisibleAgainstHeldOut" not in found


def test_a_log_that_the_recipe_can_grade_asks_its_environments_prompts(monkeypatch):
    probes = (Probe(Request("p", "Write f(x)."), "x", Context("e", "given", "")),)
    monkeypatch.setattr(room, "graded", lambda recipe, group, most, seed: Described(probes, ()))
    case = SimpleNamespace(bumpers=[result("VisibleAgainstHeldOut", "logs", "tests against held_out")])
    inv = investigation(run=SimpleNamespace(recipe=None))
    assert dict(asked_by(inv, case)) == {"VisibleAgainstHeldOut": ("Write f(x).",)}


def test_a_fix_that_adds_nothing_is_not_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_minilm", lambda: pytest.fail("no model is needed"))
    same = recipe(tmp_path, old=["Hi?"])
    inv = investigation(run=SimpleNamespace(recipe=same), sealed_texts=frozenset({"Sealed?"}))
    assert contamination(inv, SimpleNamespace(bumpers=[]), same) == []


def test_a_fix_that_trains_on_a_bumpers_prompts_spends_it_and_what_is_sealed_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_minilm", lambda: None)
    before = recipe(tmp_path, old=["Hi?"])
    after = recipe(
        tmp_path, old=["Hi?"], patch=[f"Be brief. |x| Question {i}?" for i in range(6)] + ["Sealed one, or two?"]
    )
    inv = investigation(run=SimpleNamespace(recipe=before), sealed_texts=frozenset({"Sealed one, or two?", "Other?"}))
    case = SimpleNamespace(bumpers=[result("PairedContexts", "behaviour")])
    found = {p.bumper: p for p in contamination(inv, case, after)}
    assert (found["PairedContexts"].copied, found["PairedContexts"].prompts) == (6, 12)
    assert (found[SEALED].copied, found[SEALED].prompts, found[SEALED].near) == (1, 2, None)
    assert spent_by(list(found.values())) == ["PairedContexts", SEALED]


@pytest.mark.parametrize(("copied", "near", "told"), [(0, None, False), (0, 1, False), (1, None, True), (0, 3, True)])
def test_where_sealed_requests_were_trained_on_no_verdict_rests_on_them(copied, near, told):
    checks = sealed_unread([PromptsInData(bumper=SEALED, prompts=20, copied=copied, near=near)])
    assert bool(checks) is told
    if told:
        assert checks[0].passed is None and f"trains on {copied} of 20 sealed requests" in checks[0].detail
    assert sealed_unread([]) == ()
