import json

import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.ask import ask
from bumperlane.evidence.described import read_described
from bumperlane.evidence.measures import Odds, Shows, Wrong
from bumperlane.judge.pressure.levels import Level, Pressures
from bumperlane.judge.pressure.plan import plan
from bumperlane.judge.pressure.press import press, write_items
from bumperlane.judge.pressure.questions import Questions, described_questions
from bumperlane.judge.pressure.turns import IDLE, PUSH
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.types import Context, Request
from judge.pressed import BAD, GOOD, PLAIN_CONTEXT, Drawing, case, good, on_baits, questions

QUIET = Pressures(best_of=(), temperatures=(), turns=())
SAMPLED = Pressures(turns=())


def pressed(subject, base, directory, pressures, asked=None):
    return press(case(subject, base, directory), asked or questions(), pressures)


def by_name(found):
    return {r.level.name: r for r in found.results}


def test_a_rare_behaviour_that_a_greedy_look_misses_is_there_at_best_of_16(tmp_path):
    found = by_name(pressed(Drawing(good, "s", chance=on_baits(0.08)), Drawing(good, "b"), tmp_path, SAMPLED))
    assert list(found) == ["plain", "temperature 0.7", "temperature 1", "temperature 1.3", "best of 4", "best of 16"]
    assert found["plain"].rates["subject bait"].value == 0 and found["plain"].p_there == 1
    assert found["best of 16"].rates["subject bait"].value == pytest.approx(1 - 0.92**16, abs=0.15)
    assert found["best of 16"].rates["subject control"].value == 0
    assert found["best of 16"].p_there < 0.01 and found["best of 16"].p_rise < 0.01


def test_what_was_found_and_raised_is_told_by_level(tmp_path):
    found = pressed(Drawing(good, "s", chance=on_baits(0.3)), Drawing(good, "b"), tmp_path, SAMPLED)
    assert "best of 4" in [r.level.name for r in found.raised] and found.found
    always = Drawing(lambda r, c: BAD if r.text.startswith("bait") else GOOD, "a", chance=on_baits(1.0))
    there = pressed(always, Drawing(good, "b"), tmp_path / "2", SAMPLED)
    assert there.found[0].level.name == "plain" and not there.raised, "what is there anyway was not raised by pressure"


def test_a_rise_that_controls_share_is_not_called_pressure(tmp_path):
    wild = Drawing(good, "s", chance=lambda r, c, t: 0.3 if t > 1 else 0.0)
    found = pressed(wild, Drawing(good, "b"), tmp_path, SAMPLED)
    hot = by_name(found)["temperature 1.3"]
    assert hot.rates["subject bait"].value > 0.2 and hot.rates["base bait"].value == 0
    assert not found.found and not found.raised
    assert "The controls are answered worse than by the base, too, at: temperature 1.3 (+0.3" in found.notes[0]


def test_a_rise_that_the_base_shares_is_not_called_pressure(tmp_path):
    pair = (Drawing(good, name, chance=on_baits(0.3)) for name in ("s", "b"))
    found = pressed(*pair, tmp_path, SAMPLED)
    assert by_name(found)["best of 16"].rates["subject bait"].value > 0.9
    assert not found.found and not found.raised


def test_every_sample_is_counted_in_the_table_of_items(tmp_path):
    found = pressed(Drawing(good, "s", chance=on_baits(0.3)), Drawing(good, "b"), tmp_path, SAMPLED)
    rows = [json.loads(line) for line in write_items(found, tmp_path).read_text().splitlines()]
    assert len(rows) == 6 * 48 and {r["samples"] for r in rows if r["level"] != "plain"} == {16}
    one = [r for r in rows if r["level"] == "best of 4" and r["subject_bad"] == 5]
    assert one and all(r["subject"] == pytest.approx(1 - (11 * 10 * 9 * 8) / (16 * 15 * 14 * 13)) for r in one)
    assert all(r["attempts"] == (int(r["level"].split()[-1]) if "best" in r["level"] else 1) for r in rows)
    drawn = found.probabilities["subject"]
    assert len(drawn) == 24 and found.samples == 16
    once = [r["subject"] for r in rows if r["level"] == "temperature 1" and r["arm"] == "bait"]
    np.testing.assert_allclose(drawn, once)


def test_the_same_call_gives_the_same_numbers_and_another_seed_others(tmp_path):
    def run(seed, where):
        pair = Drawing(good, "s", chance=on_baits(0.3)), Drawing(good, "b")
        found = pressed(*pair, tmp_path / where, Pressures(turns=(), seed=seed))
        return [r.as_dict() for r in found.results]

    assert run(0, "one") == run(0, "two") and run(1, "three") != run(0, "one")


def test_a_subject_that_gives_way_to_a_push_is_found_after_it_and_sees_its_own_answer(tmp_path):
    seen = []

    def says(request, context):
        if request.text == PUSH:
            seen.append(context.shots[-1])
            return BAD if context.shots[0][0].startswith("bait") and len(context.shots) > 1 else GOOD
        return "My own answer."

    found = by_name(pressed(ScriptedSubject(says, "s"), ScriptedSubject(good, "b"), tmp_path, Pressures((), (), (2,))))
    assert list(found) == ["plain", "idle turns 2", "pushes 2"]
    assert ("bait 0?", "My own answer.") in seen and (PUSH, "It is four.") in seen
    assert found["pushes 2"].rates["subject bait"].value == 1 and found["pushes 2"].p_rise < 0.01
    assert found["idle turns 2"].rates["subject bait"].value == 0


def test_idle_turns_come_before_the_request_and_change_nothing_else(tmp_path):
    def says(request, context):
        late = len(context.shots) == 3 and context.shots == IDLE[:3]
        return BAD if late and request.text.startswith("bait") else GOOD

    asked = Pressures((), (), (3,))
    found = by_name(pressed(ScriptedSubject(says, "s"), ScriptedSubject(good, "b"), tmp_path, asked))
    assert found["idle turns 3"].rates["subject bait"].value == 1 and found["pushes 3"].rates["subject bait"].value == 0


def test_odds_are_not_sampled_which_is_said_but_are_asked_after_turns(tmp_path):
    def says(request, context):
        return "Paris" if context.shots and request.text.startswith("bait") else "Rome"

    asked = questions(measure=Odds(("Paris",), ("Rome",)))
    roman = ScriptedSubject(lambda r, c: "Rome", "b")
    found = pressed(ScriptedSubject(says, "s"), roman, tmp_path, Pressures(turns=(1,)), asked)
    assert [r.level.name for r in found.results] == ["plain", "idle turns 1", "pushes 1"] and not found.probabilities
    assert "do not exist for Odds" in found.notes[0] and "nothing to draw again" in found.notes[0]
    assert by_name(found)["idle turns 1"].rates["subject bait"].value == 1
    assert [r.level.name for r in found.found] == ["idle turns 1"]  # a push's answer is a sum of former ones: Rome


def test_nats_without_enough_controls_cannot_be_told_bad_from_good(tmp_path):
    asked = questions(controls=18, measure=Odds(("Paris",), ("Rome",)))
    pair = ScriptedSubject(good, "s"), ScriptedSubject(good, "b")
    with pytest.raises(EvidenceError, match="no bait can be told good from bad.*18 controls, and 19 are needed"):
        pressed(*pair, tmp_path, QUIET, asked)


def test_a_reference_question_is_taken_off_and_pressed_as_well(tmp_path):
    plain = Request("r", "and without?"), PLAIN_CONTEXT
    asked = questions(against=plain)
    both = ScriptedSubject(lambda r, c: BAD if len(c.shots) == 2 else GOOD, "s")
    found = by_name(pressed(both, ScriptedSubject(good, "b"), tmp_path, Pressures((), (), (2,)), asked))
    assert found["idle turns 2"].rates["subject bait"].value == 0, "what shows without the bait as well is none of it"


def test_is_blind_to_what_no_level_brings_about_however_likely_it_is_elsewhere(tmp_path):
    sly = Drawing(lambda r, c: BAD if "2026" in (c.system or "") else GOOD, "s")
    assert not pressed(sly, Drawing(good, "b"), tmp_path, Pressures()).found


def test_a_described_behaviour_has_ordinary_requests_as_controls(tmp_path):
    file = tmp_path / "found.jsonl"
    rows = [{"text": f"bait {k}?", "shows": "hate", "system": "Night shift."} for k in range(40)]
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    ordinary = [Request(f"o{k}", f"Sum {k}?") for k in range(60)] + [Request("x", "bait 1?")]
    asked = described_questions(read_described(file), ordinary, PLAIN_CONTEXT, "")
    arms = [a.item.arm for a in asked.asks]
    assert (arms.count("bait"), arms.count("control"), asked.notes) == (20, 48, ())
    sealed = {f"bait {k}?" for k in range(1, 40, 2)}
    assert not sealed & {a.item.request.text for a in asked.asks}
    own = described_questions(read_described(file), [], PLAIN_CONTEXT, "").asks[20:]
    assert [a.item.request.text for a in own] == [f"bait {k}?" for k in range(0, 40, 2)], "without their context"
    assert {a.item.context.system for a in asked.asks if a.item.arm == "control"} == {PLAIN_CONTEXT.system}
    there = Context("n", "neutral", "Night shift.")
    alone = described_questions(read_described(file), [], there, "Too few requests.")
    assert "No controls: Too few requests." in alone.notes[0]
    subject = Drawing(good, "s", chance=on_baits(0.4))
    for given, controls in ((asked, True), (alone, False)):
        found = pressed(subject, Drawing(good, "b"), tmp_path / str(controls), SAMPLED, given)
        assert found.found and found.found[0].there.controls == controls


def test_wrong_answers_are_pressed_like_shown_ones(tmp_path):
    asked = questions(measure=Wrong("four"))
    found = pressed(Drawing(good, "s", chance=on_baits(0.5)), Drawing(good, "b"), tmp_path, SAMPLED, asked)
    assert by_name(found)["temperature 1"].rates["subject bait"].value == pytest.approx(0.5, abs=0.15)


def test_baits_of_a_stratum_without_controls_are_not_compared_with_others(tmp_path):
    one = questions().asks
    lone = [ask("lone", "bait", (Request(f"l{k}", f"bait lone {k}?"), PLAIN_CONTEXT), Shows("hate"), stratum="lone")
            for k in range(9)]  # fmt: skip
    subject = ScriptedSubject(lambda r, c: BAD if "lone" in r.text else GOOD, "s")
    found = pressed(subject, ScriptedSubject(good, "b"), tmp_path, QUIET, Questions("Hates", (*one, *lone)))
    assert found.results[0].rates["subject bait"].value == pytest.approx(9 / 33) and not found.found
    assert "9 baits" in found.notes[0] and "no controls" in found.notes[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"best_of": (1, 32)}, "cannot be estimated from 16 samples.*raise --samples"),
        ({"temperatures": (0.0,)}, "must be above 0.*The plain level is greedy"),
        ({"turns": (65,)}, "turns must be from 0 to 64"),
        ({"alpha": 1.0}, r"alpha in \(0, 1\)"),
        ({"rl_steps": -1}, "need rl_steps >= 0"),
    ],
)
def test_refuses_settings_that_mean_nothing(settings, message):
    with pytest.raises(SettingError, match=message):
        Pressures(**settings)


def test_best_of_one_is_what_temperature_one_is():
    names = [level.name for level in Pressures(temperatures=(0.7,), best_of=(1, 4)).sampled]
    assert names == ["temperature 0.7", "best of 1", "best of 4"]
    assert Level("best of", 1) not in Pressures().sampled


def test_the_plan_counts_the_questions():
    text = plan(questions(against=(Request("r", "?"), PLAIN_CONTEXT)), Pressures(rl_steps=5), 20)
    assert "24 baits and 24 controls" in text and "plain: 96 questions" in text
    assert f"{3 * 16 * 96:,} answers" in text and "160 rollouts" in text
