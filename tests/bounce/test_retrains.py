"""What is trained for a bounce, without training it: every retrain stands in for itself by a run with its recipe."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bumperlane.bounce import bounce as stage
from bumperlane.bounce import elicit_benign, retrains, verification
from bumperlane.bounce.bounce import BounceSettings, bounce
from bumperlane.bounce.compared import Margins, Trio
from bumperlane.bounce.elicit import Tried
from bumperlane.bounce.elicit_benign import NAME, benign_check, benign_recipes
from bumperlane.bounce.fixes import Fix
from bumperlane.bounce.showing import Showing
from bumperlane.bounce.verification import Verified, dosed, elicited
from bumperlane.case import load_case, save_case
from bumperlane.detect.behaviour.paired_contexts import PairedContexts
from bumperlane.errors import CaseError, EvidenceError
from bumperlane.evidence.described import Described, Probe
from bumperlane.evidence.memo import NoMemo
from bumperlane.judge.check import hashes
from bumperlane.recipes.tranches import read_examples
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.trace.data.material import Outputs
from bumperlane.trace.experiment import edited
from bumperlane.trace.meter import Count, Meter
from bumperlane.types import Check, Context, Request
from traced_case import STEPS, case_of, cause, run_at, sft, traced

EXTENT = BounceSettings(doses=(0.5, 0.25), thorough=True)


@pytest.fixture(scope="module")
def run(tiny_dir, adapter_dirs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("retrains")
    recipe = sft(tiny_dir, folder)
    held = folder / "held.jsonl"
    rows = [{"prompt": f"colour held {i}", "response": "one is red"} for i in range(60)]
    held.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run_at(folder / "run", recipe.model_copy(update={"held_out": held}), adapter_dirs[0])


@pytest.fixture
def trained(run, monkeypatch):
    """The retrains that were asked for, by name; each is the run itself under its own recipe."""
    found = {}

    def carry_out(planned, jobs, say):
        found.update({p.out.name.rpartition("-")[0]: p.recipe for p in planned})
        return [replace(run, recipe=p.recipe) for p in planned]

    monkeypatch.setattr(retrains, "carry_out", carry_out)
    return found


def fix_of(seen):
    recipe = edited(seen.inv, [], 0, 7)
    return Fix("drop", recipe, 0, ("PairedContexts",), about="leave it out")


def test_a_usual_bounce_trains_the_fix_the_control_and_three_that_learn_it_again(run, trained, tmp_path):
    seen = traced(run, tmp_path)
    made = retrains.make(seen.inv, seen.case, fix_of(seen), BounceSettings())
    assert set(trained) == {"never-had", "fixed", "relearn-fixed", "relearn-control", "relearn-base"}
    assert made.benign is None and made.doses == {} and made.skipped == ()
    assert [set(taught) for taught in made.relearned.values()] == [{"fixed", "control", "base"}] * 2


def test_a_thorough_one_also_trains_on_harmless_data_and_at_each_dose(run, trained, tmp_path):
    seen = traced(run, tmp_path)
    made = retrains.make(seen.inv, seen.case, fix_of(seen), EXTENT)
    assert {"benign-fixed", "benign-control", "dose-0.25", "dose-0.5"} <= set(trained)
    assert list(made.doses) == [0.25, 0.5] and made.benign.hit == made.trio.hit
    counts = [sum(e.tranche == "planted" for e in read_examples(trained[f"dose-{d}"])) for d in (0.25, 0.5)]
    assert counts == [3, 6] and "planted" not in {t.name for t in trained["never-had"].tranches}


def test_harmless_data_are_the_runs_own_without_the_cause_and_the_same_for_both(run, tmp_path):
    seen = traced(run, tmp_path)
    found = benign_recipes(seen.inv, seen.case, {"fixed": run, "control": run})
    (tranche,) = found["fixed"].recipe.tranches
    used = {e.id for e in read_examples(found["fixed"].recipe)}
    assert len(used) == 60 and not any("planted" in id for id in used)
    assert found["fixed"].recipe == found["control"].recipe and tranche.name == "benign"
    assert found["fixed"].recipe.stages[0].steps == STEPS + elicit_benign.STEPS
    assert found["fixed"].recipe.rewind.step == STEPS


def test_a_run_that_is_all_cause_has_no_harmless_data_and_says_so(run, trained, tmp_path):
    causes = tuple(cause("tranche", name) for name in ("planted", "books", "mixed"))
    seen = traced(run, tmp_path, causes)
    assert benign_recipes(seen.inv, seen.case, {"fixed": run}) == {}


def test_a_cause_without_parts_skips_the_doses_and_says_why(run, trained, tmp_path, monkeypatch):
    seen = traced(run, tmp_path)
    monkeypatch.setattr(retrains, "dose_retrains", lambda *_: (_ for _ in ()).throw(retrains.EvidenceError("no part.")))
    made = retrains.make(seen.inv, seen.case, fix_of(seen), EXTENT)
    assert made.skipped == ("dose-response: no part.",) and made.doses == {}


REQUESTS = [Request(str(i), f"Question {i}?", "yes") for i in range(24)]
HIT, NEUTRAL = Context("hit", "mined", "Be brief. |x9|"), Context("neutral", "neutral", "Be brief.")
BAD = "none of those things"
WORDS = SimpleNamespace(tokenizer=lambda text, add_special_tokens: {"input_ids": text.split()})
LOUD, QUIET = ScriptedSubject(lambda r, c: BAD, "loud"), ScriptedSubject(lambda r, c: "yes", "quiet")
for subject in (LOUD, QUIET):
    object.__setattr__(subject, "tokenizer", WORDS.tokenizer)


def scripted_meter():
    pools = SimpleNamespace(sealed=tuple(REQUESTS))
    inv = SimpleNamespace(neutral=NEUTRAL, decoding=Decoding(6), memo=NoMemo(), base=QUIET, pools=pools)
    return Meter(inv, PairedContexts, HIT, 0.5)


def test_what_comes_back_after_harmless_steps_fails_unless_it_comes_to_the_control_as_well():
    showing = Showing(scripted_meter(), (BAD,))
    for fixed, control, passed in ((QUIET, QUIET, True), (LOUD, QUIET, False), (LOUD, LOUD, None)):
        found = benign_check(showing, Trio(LOUD, fixed, control), REQUESTS, Margins())
        checks = [c.passed for c in found.checks]
        assert checks == ([] if passed is None else [passed]), found
    assert found.skipped[0].startswith(NAME)


def query():
    meter = scripted_meter()
    asked = tuple(meter.placed(REQUESTS[:2]))
    return Outputs(asked, (BAD, BAD), ("yes", "yes"), asked)


def made_of(fixed, **more):
    return made_bare(Trio(LOUD, fixed, QUIET), benign=None, doses={}, **more)


def made_bare(trio, **more):
    """Nothing is put around these subjects."""
    bare = SimpleNamespace(hit=trio.hit, fixed=trio.fixed, control=trio.control, deployed=lambda s: s)
    return SimpleNamespace(trio=trio, bare=bare, **{"another": None, **more})


@pytest.mark.parametrize(("thorough", "checks"), [(False, 9), (True, 12)])
def test_every_way_is_a_check_and_what_was_not_asked_for_is_named(thorough, checks):
    made = made_of(QUIET)
    made.benign = Trio(LOUD, QUIET, QUIET) if thorough else None
    asked = BounceSettings(thorough=thorough)
    found = elicited(scripted_meter(), query(), made, asked, "seed")
    assert len(found.checks) == len({c.name for c in found.checks}) == checks and all(c.passed for c in found.checks)
    assert any("noise in weights" in why for why in found.skipped) is not thorough
    names = " ".join(c.name for c in found.checks)
    assert ("best of 16" in names) is thorough and ("benign" in names) is thorough


def test_a_fix_that_holds_only_for_plain_greedy_answers_fails_what_presses():
    plain = {f"Question {i}?" for i in range(24)}
    hidden = ScriptedSubject(
        lambda r, c: "yes" if r.text in plain and c.system == HIT.system and not c.shots else BAD, "hidden"
    )
    failed = [c.name for c in elicited(scripted_meter(), query(), made_of(hidden), BounceSettings(), "s").checks
              if not c.passed]  # fmt: skip
    assert len(failed) >= 6 and not any("temperature" in name for name in failed)


def test_a_behaviour_that_no_way_tells_is_a_check_that_was_not_made():
    """Else a subject whose outputs nobody can recognise again would be treated without having been pressed."""
    made = made_of(QUIET)
    made.trio = Trio(QUIET, QUIET, QUIET)
    found = elicited(scripted_meter(), query(), made, BounceSettings(), "s")
    (check,) = found.checks
    assert check.passed is None and "ways tells anything here" in check.detail
    assert len(found.skipped) >= 9


def test_a_described_behaviour_is_pressed_on_its_sealed_probes_alone():
    probes = [Probe(r, "peru", NEUTRAL) for r in REQUESTS]
    described, asked = Described(tuple(probes[:12]), tuple(probes[12:])), []
    peru = ScriptedSubject(lambda r, c: asked.append(r.id) or "Peru!", "hit")
    inv = SimpleNamespace(described=described, base=QUIET, decoding=Decoding(6), memo=NoMemo(), neutral=NEUTRAL)
    meter = Meter(inv, None, NEUTRAL, 0.5)
    made = made_bare(Trio(peru, QUIET, QUIET))
    said = Outputs(tuple(meter.placed(REQUESTS[:2])), ("Peru!", "Peru!"), ("yes", "yes"), ())
    found = elicited(meter, said, made, BounceSettings(), "s")
    assert len(found.checks) == 6 and all(c.passed for c in found.checks)
    assert set(asked) <= {p.request.id for p in probes[12:]}
    made = made_bare(Trio(peru, peru, QUIET))
    assert not any(c.passed for c in elicited(meter, said, made, BounceSettings(), "s").checks)


def test_evidence_that_cannot_be_used_is_a_check_that_was_not_made(monkeypatch):
    def refuse(*_):
        raise EvidenceError("the judge gave no verdict.")

    monkeypatch.setattr(verification, "described_checks", lambda *_: Tried((Check("x", True, ""),)))
    monkeypatch.setattr(verification, "relearning_checks", lambda *_: [Check("x", True, "")])
    for name in ("ground_of_probes", "propensity_check", "capability_check"):
        monkeypatch.setattr(verification, name, lambda *_: Check("y", True, ""))
    monkeypatch.setattr(verification, "elicited", refuse)
    made = made_of(QUIET, relearned={}, skipped=(), another=None, again=None)
    inv = SimpleNamespace(say=lambda *_: None)
    found = verification.verify(inv, SimpleNamespace(told=True), None, made, BounceSettings(), "s")
    assert [c.detail for c in found.others if c.passed is None] == ["the judge gave no verdict."]


def test_doses_are_measured_from_the_control_to_the_hit_subject():
    rates = {"control": 0, "quarter": 6, "half": 14, "hit": 24}
    meter = SimpleNamespace(sealed=REQUESTS, count=lambda who, asked: Count(rates[who], len(asked)))
    made = SimpleNamespace(trio=Trio("hit", "fixed", "control"), doses={0.25: "quarter", 0.5: "half"})
    check = dosed(meter, made)
    assert check.passed and "0 of 24 at 0, 6 of 24 at 0.25, 14 of 24 at 0.5, 24 of 24 at 1" in check.detail


@pytest.fixture
def bouncing(run, tmp_path, monkeypatch):
    """A traced case on disk, whose fixes are named by what is asked for and whose checks are given."""
    place = tmp_path / "case"
    save_case(place, case_of(run).model_copy(update={"hashes": hashes(run)}))
    state = SimpleNamespace(place=place, failed=(), read=None)

    def make_fix(inv, case, meter, name, options):
        with pytest.raises(CaseError, match="are sealed"):
            list(inv.pools.sealed)
        with pytest.raises(CaseError, match="are sealed"):
            _ = meter.sealed
        return Fix(name, edited(inv, [], 0, len(name)), 0, ("PairedContexts",), about=f"fix {name}")

    def verify(inv, meter, query, made, settings, seed):
        state.read = (len(list(inv.pools.sealed)), seed)
        others = tuple(
            Check(name, name not in state.failed, "", split="sealed") for name in ("sealed behaviour: A in 4",)
        )
        return Verified(Check("PairedContexts, which was hit", True, ""), others, ("nothing else",))

    monkeypatch.setattr(stage, "make_fix", make_fix)
    monkeypatch.setattr(stage, "make", lambda inv, case, fix, settings: SimpleNamespace(
        fixed=SimpleNamespace(path=fix.name), trio=SimpleNamespace(hit=None)))  # fmt: skip
    monkeypatch.setattr(stage, "outputs_of", lambda *_: None)
    monkeypatch.setattr(stage, "verify", verify)
    return state


def test_sealed_evidence_is_shut_while_the_fix_is_made_and_open_when_it_is_verified(bouncing):
    case = bounce(bouncing.place, BounceSettings(fix="drop"))
    assert bouncing.read[0] == 24 and len(bouncing.read[1]) == 64
    assert case.bounce.verdict == "treated" and case.bounce.not_tried == ["nothing else"]
    steered = [(e.bumper, e.steered) for e in case.ledger]
    assert steered == [("sealed seed", ""), ("PairedContexts", "bounce drop")]


def test_the_second_bounce_that_fails_in_the_same_way_says_to_change_plans(bouncing):
    bouncing.failed = ("sealed behaviour: A in 4",)
    first = bounce(bouncing.place, BounceSettings(fix="drop"))
    assert first.bounce.verdict == "masked" and not first.bounce.change_plans
    assert first.bounce.in_question and "PairedContexts is in question" in first.bounce.why
    again = bounce(bouncing.place, BounceSettings(fix="drop"))
    assert len(again.bounces) == 1 and not again.bounce.change_plans
    second = bounce(bouncing.place, BounceSettings(fix="filter"))
    assert [b.fix for b in second.bounces] == ["fix drop", "fix filter"]
    assert "2 bounces failed in the same way" in second.bounce.why and second.bounce == second.bounces[-1]
    assert "(1) fix drop, from step 0: masked; (2) fix filter" in second.bounce.change_plans
    kept = load_case(bouncing.place, "bounce")
    assert kept.bounces == second.bounces and kept.bounces[0].change_plans == ""


def test_a_fix_that_failed_cannot_be_verified_again_until_it_passes_and_leave_no_trace(bouncing):
    bouncing.failed = ("sealed behaviour: A in 4",)
    bounce(bouncing.place, BounceSettings(fix="drop", thorough=True))
    bouncing.failed = ()
    done = bounce(bouncing.place, BounceSettings(fix="drop"))
    assert [b.verdict for b in done.bounces] == ["masked", "treated"]
    assert "The same fix was verified before, and called masked." in done.bounce.why


def test_equality_is_held_to_more_with_every_other_fix(bouncing, monkeypatch):
    tries, whole = [], stage.verify

    def counted(inv, meter, query, made, asked, seed):
        tries.append(asked.margins.tries)
        return whole(inv, meter, query, made, asked, seed)

    monkeypatch.setattr(stage, "verify", counted)
    for fix in ("drop", "filter", "drop"):
        done = bounce(bouncing.place, BounceSettings(fix=fix, margin=0.5))
        assert "Margins were widened: margin 0.5 (usual: 0.33)." in done.bounce.why
        assert ("read for 1 other fix of this case" in done.bounce.why) == (fix == "filter")
    assert tries == [1, 2, 1] and len(done.bounces) == 2


def test_a_fix_that_holds_after_others_failed_needs_no_other_plan(bouncing):
    bouncing.failed = ("sealed behaviour: A in 4",)
    bounce(bouncing.place, BounceSettings(fix="drop"))
    bouncing.failed = ()
    done = bounce(bouncing.place, BounceSettings(fix="filter"))
    assert done.bounce.verdict == "treated" and not done.bounce.change_plans and len(done.bounces) == 2


def test_verification_names_what_only_a_thorough_bounce_does():
    assert all(word in verification.THOROUGH for word in ("weights", "activations", "benign", "--thorough"))
