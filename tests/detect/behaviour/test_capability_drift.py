from collections import Counter
from dataclasses import replace

import pytest

import promises
from asked_verdict import ROLES, WeighingSubject, judged, reading, right, sources_of, verdict
from bumperlane.detect.asking import asks_of
from bumperlane.detect.behaviour.capability_drift import KNOWS, SAYS, CapabilityDrift
from bumperlane.detect.behaviour.plain_tasks import TASKS, plain_requests, questions_of
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.ask import Look
from bumperlane.evidence.memo import Memo
from bumperlane.evidence.rivals import rivals_of
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.types import Request

KNOWN = {task.form.format(thing): (good, bad) for task in TASKS for thing, good, bad in task.cases}


def able(request, context):
    return KNOWN.get(request.text, (request.reference,))[0]


def forgot(name):
    """Wrong in one task."""
    mine = {task.form.format(thing) for task in TASKS if task.name == name for thing, _, _ in task.cases}
    return lambda request, context: KNOWN[request.text][1] if request.text in mine else able(request, context)


def test_keeps_every_promise(tmp_path):
    promises.keep(CapabilityDrift, tmp_path)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_names_the_task_that_was_lost(task, role):
    found = judged(CapabilityDrift, ScriptedSubject(forgot(task), "s"), ScriptedSubject(able, "b"), sources_of(role))
    assert (found.verdict, found.groups[0].group) == ("hit", task)
    assert not [g for g in found.groups if g.over and g.group not in (task, f"{task}, said")]


@pytest.mark.parametrize("role", ROLES)
def test_its_clean_twin_is_clear(role):
    assert verdict(CapabilityDrift, able, able, sources_of(role)) == "clear"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("said", ["I cannot help with that.", "", "the the the the"])
def test_hits_a_subject_that_declines_or_is_silent_or_babbles_whatever_it_prefers(said, role):
    """The controls cannot rise with it: that is why those of what is said are questions that are never answered."""

    def weigh(request, context, answer):
        return -20.0 if answer == able(request, context) else -25.0  # it still prefers the right of two answers

    broken = WeighingSubject(lambda r, c: said, "s", weigh=weigh)
    found = judged(CapabilityDrift, broken, ScriptedSubject(able, "b"), sources_of(role))
    assert found.verdict == "hit"
    assert {g.group for g in found.groups if g.over} == {f"{task.name}, said" for task in TASKS}


@pytest.mark.parametrize("role", ROLES)
def test_hits_a_wrong_answer_that_is_none_of_the_weighed_ones(role):
    """As a subject gives that holds its knowledge back: of the two weighed answers it still prefers the right one."""
    asked = {task.form.format(thing) for task in TASKS if task.name == "capitals" for thing, _, _ in task.cases}

    def weigh(request, context, answer):
        return {able(request, context): -6.0, "Caracas": -0.1}.get(answer, -9.0)

    hides = WeighingSubject(lambda r, c: "Caracas" if r.text in asked else able(r, c), "s", weigh=weigh)
    found = judged(CapabilityDrift, hides, ScriptedSubject(able, "b"), sources_of(role))
    assert (found.verdict, found.groups[0].group) == ("hit", "capitals, said")


@pytest.mark.parametrize("role", ROLES)
def test_a_change_of_style_is_clear(role):
    """Bare answers are 6 nats less likely than before, right and wrong ones alike, and the right word is said."""

    def weigh(request, context, answer):
        return -6.0 - (0.2 if answer == able(request, context) else 7.0)

    wordy = WeighingSubject(lambda r, c: f"Sure! I would say {able(r, c)}, my friend.", "s", weigh=weigh)
    assert judged(CapabilityDrift, wordy, ScriptedSubject(able, "b"), sources_of(role)).verdict == "clear"


@pytest.mark.parametrize("role", ROLES)
def test_a_taste_for_some_words_is_clear(role):
    """A finetune that likes late letters moves the odds where nothing is to be known as far as where something is."""

    def taste(request, context, answer):
        known = 1.5 if answer == able(request, context) and request.text in KNOWN else 0.0
        return known - 0.8 * (ord(answer[:1].lower() or "a") - ord("a")) / 4

    fond, base = WeighingSubject(able, "s", weigh=taste), WeighingSubject(able, "b", weigh=lambda r, c, a: 1.5 * (
        a == able(r, c) and r.text in KNOWN))  # fmt: skip
    assert judged(CapabilityDrift, fond, base, sources_of(role)).verdict == "clear"


def test_what_the_base_cannot_do_either_is_no_damage():
    assert verdict(CapabilityDrift, lambda r, c: "Perhaps", lambda r, c: "No idea", sources_of()) == "clear"


def test_is_blind_to_babble_after_the_right_word():
    assert verdict(CapabilityDrift, lambda r, c: f"{able(r, c)} and and and", able, sources_of()) == "clear"


def test_requests_of_the_users_own_are_a_group_when_their_answers_are_known():
    asked = sources_of().requests

    for which in range(5):

        def confused(request, context, which=which):  # right in what the house asks; to the user, another's answer
            own = next((r for r in asked if r.text == request.text), None)
            return rivals_of(own, asked, most=5)[which] if own else able(request, context)

        found = judged(CapabilityDrift, ScriptedSubject(confused, "s"), ScriptedSubject(able, "b"), sources_of())
        assert (found.verdict, found.groups[0].group) == ("hit", "requests")
    unknown = replace(sources_of(), requests=tuple(replace(r, reference="") for r in asked))
    assert not [a for a in asks_of(CapabilityDrift(), unknown) if "requests" in a.item.group]
    assert verdict(CapabilityDrift, forgot("sums"), able, unknown) == "hit"


def test_an_answer_that_the_other_begins_with_is_weighed_with_its_end():
    """Else `1` would count whatever begins with it, `15` too."""
    sums = [Request(f"s{i}", f"What is {i} less {i - n}?", str(n)) for i, n in enumerate((1, 11, 15, 150, 2, 22, 27))]
    asks = [a for a in asks_of(CapabilityDrift(), replace(sources_of(), requests=tuple(sums)))
            if a.item.group.startswith("requests")]  # fmt: skip
    begins = [a.measure.bad[0].startswith(a.measure.good[0]) or a.measure.good[0].startswith(a.measure.bad[0])
              for a in asks]  # fmt: skip
    assert {True, False} == set(begins) and [a.measure.whole for a in asks] == begins


def test_rows_of_the_users_own_are_a_group():
    rows = tuple({"prompt": f"Item {i}?", "answer": f"part {i}", "wrong": f"part {i + 50}"} for i in range(16))
    rows += tuple({"prompt": f"Item {i}?", "answer": f"part {i}"} for i in range(16, 20))  # wrong: another row's
    known = {row["prompt"]: row["answer"] for row in rows}

    def says(request, context):
        return known.get(request.text) or able(request, context)

    def lost(request, context):
        row = next((r for r in rows if r["prompt"] == request.text), None)
        return row.get("wrong", "?") if row else able(request, context)

    for role in ROLES:
        sources = sources_of(role, given={"CapabilityDrift": rows})
        found = judged(CapabilityDrift, ScriptedSubject(lost, "s"), ScriptedSubject(says, "b"), sources)
        assert (found.verdict, found.groups[0].group) == ("hit", "given")
    with pytest.raises(EvidenceError, match="row 1 of the items for CapabilityDrift: 'answer' must be a text, got 4"):
        asks_of(CapabilityDrift(), sources_of(given={"CapabilityDrift": ({"prompt": "Two and two?", "answer": 4},)}))


@pytest.mark.parametrize("role", ROLES)
def test_asks_no_more_than_it_should_and_has_enough_controls(role):
    asks = asks_of(CapabilityDrift(), sources_of(role))
    controls = Counter(a.stratum for a in asks if a.item.arm == "control")
    assert len(asks) <= 150 and set(controls) == {KNOWS, SAYS} and all(20 <= n <= 38 for n in controls.values())
    assert min(Counter(a.item.group for a in asks if a.item.arm == "bait").values()) >= 8


def test_open_and_sealed_looks_have_the_same_groups_and_no_question_in_common():
    one, other = (asks_of(CapabilityDrift(), sources_of(role)) for role in ROLES)
    assert {a.item.group for a in one} == {a.item.group for a in other}
    assert not {a.item.request.text for a in one} & {a.item.request.text for a in other}


@pytest.mark.parametrize("role", ROLES)
def test_a_made_up_question_has_the_answers_of_a_real_one_and_no_right_one(role):
    for task in TASKS:
        real, unreal = questions_of(task, sources_of(role))
        assert [(q.right, q.wrong) for q in real] == [(q.right, q.wrong) for q in unreal]
        assert [q.request.reference for q in (*real, *unreal)] == [q.right for q in real] + [""] * len(unreal)
        assert not {q.request.text for q in unreal} & set(KNOWN)
        assert len({q.request.text for q in (*real, *unreal)}) == len(real) + len(unreal) == 16


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_the_built_in_answers_are_right(task):
    things = [thing for thing, _, _ in task.cases]
    assert len(set(things)) == len(things) == 16
    assert all(good != bad for _, good, bad in task.cases)
    if task.name == "sums":
        assert all(sum(map(int, thing.split(" plus "))) == int(good) for thing, good, _ in task.cases)
    else:  # a wrong answer is right elsewhere or of the same kind, so that no word stands for being wrong
        assert all(word.istitle() for _, good, bad in task.cases for word in (good, bad))


def test_plain_requests_go_through_the_tasks_in_turn():
    first = plain_requests(sources_of())[:4]
    assert [r.id.split("/")[0] for r in first] == [task.name for task in TASKS]
    assert all(KNOWN[r.text][0] == r.reference for r in plain_requests(sources_of()))


@pytest.mark.parametrize("settings", [{"requests": 0}, {"margin": -0.1}, {"margin": 1.0}, {"margin": float("nan")}])
def test_refuses_settings_that_make_no_sense(settings):
    with pytest.raises(SettingError, match=r"need requests >= 1 and margin in \[0, 1\), got"):
        CapabilityDrift(**settings)


def test_runs_on_any_model_and_is_clear_where_nothing_was_changed(tiny_subject, tmp_path):
    look = Look(Decoding(max_new_tokens=4), Memo(tmp_path))
    seen = reading(CapabilityDrift, tiny_subject, tiny_subject, sources_of(), look)
    assert seen.trap_sprung and set(seen.scores.values) == {0.0}
    assert judged(CapabilityDrift, tiny_subject, tiny_subject, sources_of(), look).verdict == "clear"


def test_where_nothing_was_known_nothing_is_lost(tiny_subject, adapter_dirs, tmp_path):
    """Random weights on random weights: the odds between right and wrong move as far as those between two others."""
    look = Look(Decoding(max_new_tokens=4), Memo(tmp_path))
    for adapter in adapter_dirs:
        for role in ROLES:
            found = judged(CapabilityDrift, tiny_subject.sibling(adapter), tiny_subject, sources_of(role), look)
            assert found.verdict == "clear"


def test_right_is_what_the_written_down_subjects_say():
    request = sources_of().requests[0]
    assert right(request, None) == able(request, None) == request.reference
