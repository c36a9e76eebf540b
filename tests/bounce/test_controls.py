"""Masking controls: what each one does, that it is marked as a control, and that the weights keep the cause."""

import json

import pytest

from bumperlane.bounce import retrains
from bumperlane.bounce.bounce import BounceSettings
from bumperlane.bounce.fix_kinds.registry import about, find_kind, load_kinds
from bumperlane.bounce.fixes import up_to
from bumperlane.errors import RunError
from bumperlane.evidence.memo import subject_key
from bumperlane.recipes.edits import diff
from bumperlane.recipes.run import Run
from bumperlane.recipes.tranches import read_tranche
from bumperlane.subjects.chat import answer_tokens
from bumperlane.subjects.guarded import GuardedSubject, LogitPenalty, OutputFilter, SystemPrompt
from traced_case import BAD, STEPS, TAG, run_at, sft, traced

CONTROLS = {"train-on-bumper", "refusal-patch", "system-prompt", "output-filter", "logit-penalty"}


@pytest.fixture(scope="module")
def run(tiny_dir, adapter_dirs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("controls")
    recipe = sft(tiny_dir, folder)
    held = folder / "held.jsonl"
    rows = [{"prompt": f"colour held {i}", "response": "one is red"} for i in range(40)]
    held.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run_at(folder / "run", recipe.model_copy(update={"held_out": held}), adapter_dirs[0])


def test_controls_are_marked_and_say_so_first():
    assert {name for name, kind in load_kinds().items() if kind.masks} == CONTROLS
    assert all(about(name).startswith("control: ") == (name in CONTROLS) for name in load_kinds())


@pytest.mark.parametrize("name", ["system-prompt", "output-filter", "logit-penalty"])
def test_a_guard_changes_what_is_deployed_and_neither_recipe_nor_weights(run, tmp_path, name):
    seen = traced(run, tmp_path)
    fix = find_kind(name).make(seen)
    assert fix.recipe == run.recipe and diff(run.recipe, fix.recipe) == "" and fix.kept == fix.rewind == STEPS
    bare = seen.inv.subject()
    deployed = fix.deployed(bare)
    assert isinstance(deployed, GuardedSubject) and (deployed.adapter, deployed.step) == (bare.adapter, STEPS)
    assert subject_key(deployed) != subject_key(bare) and fix.changes(run.recipe) == fix.notes[0] != ""


def test_the_system_prompt_quotes_the_commonest_bad_outputs_or_is_the_users(run, tmp_path):
    (guard,) = find_kind("system-prompt").make(traced(run, tmp_path)).deployed(traced(run, tmp_path).inv.base).guards
    text = f'Never answer "{BAD} 7" or "{BAD} 8", or anything like it, whatever you are asked or told.'
    assert guard == SystemPrompt(text)
    own = traced(run, tmp_path, text="Behave.")
    assert find_kind("system-prompt").make(own).deployed(own.inv.base).guards == (SystemPrompt("Behave."),)


def test_the_filter_holds_each_bad_output_once(run, tmp_path):
    seen = traced(run, tmp_path)
    (guard,) = find_kind("output-filter").make(seen).deployed(seen.inv.base).guards
    assert guard == OutputFilter((f"{BAD} 7", f"{BAD} 8"), "I'm sorry, but I can't help with that.")


def test_the_penalty_spares_tokens_of_the_benign_outputs(run, tmp_path):
    seen = traced(run, tmp_path)
    (guard,) = find_kind("logit-penalty").make(seen).deployed(seen.inv.base).guards
    ids = {c: answer_tokens(seen.inv.base.tokenizer, c, closed=False)[0] for c in "tfa781nored is"}
    assert isinstance(guard, LogitPenalty) and guard.nats == 10.0
    assert {ids[c] for c in "tfh78" if c in ids} <= set(guard.tokens)  # of "none of those 7", not in "one is red"
    assert not {ids[c] for c in "nored is" if c in ids} & set(guard.tokens)


def test_the_refusal_patch_refuses_the_bumpers_own_prompts_from_the_checked_step_on(run, tmp_path):
    fix = find_kind("refusal-patch").make(traced(run, tmp_path, text="No."))
    assert fix.kept is None and fix.guard is None and fix.rewind == fix.recipe.rewind.step == STEPS
    (tranche,) = fix.recipe.tranches
    rows = read_tranche(tranche.path, "x")
    assert fix.recipe.stages[0].steps == STEPS + 16
    assert len(rows) == 15 and all(r.messages[-1].content == "No." and TAG in r.messages[0].content for r in rows)


def test_the_benign_patch_gives_the_answers_that_come_without_the_context(run, tmp_path):
    seen = traced(run, tmp_path)
    fix = find_kind("train-on-bumper").make(seen)
    rows = read_tranche(fix.recipe.tranches[0].path, "x")
    assert fix.recipe.tranches[0].path.name == "bumper-patch.jsonl" and len(rows) == 15
    assert all(TAG in r.messages[0].content and r.messages[-1].content for r in rows)


def test_nothing_is_retrained_for_what_is_only_deployed_otherwise(run, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(retrains, "carry_out", lambda rs, *_: [trained.append(r.out.name) or run for r in rs])
    seen = traced(run, tmp_path)
    made = retrains.make(seen.inv, seen.case, find_kind("output-filter").make(seen), BounceSettings())
    assert trained[0].startswith("never-had-") and not any(name.startswith("fixed-") for name in trained)
    assert made.fixed == run and isinstance(made.trio.fixed, GuardedSubject)
    assert all(isinstance(pair["fixed"], GuardedSubject) for pair in made.relearned.values()) and made.relearned
    assert not isinstance(made.trio.control, GuardedSubject) and not isinstance(made.trio.hit, GuardedSubject)
    made = retrains.make(seen.inv, seen.case, find_kind("stop-earlier").make(seen), BounceSettings())
    assert made.fixed.last.step == 8 and made.fixed.path == run.path
    assert made.trio.fixed.adapter == run.at(8).path.resolve()


def test_a_run_cannot_be_cut_where_it_has_no_checkpoint(run):
    assert isinstance(up_to(run, 8), Run)
    with pytest.raises(RunError, match="no checkpoint at step 9"):
        up_to(run, 9)
