"""Cases that were written anew so that their files fit: what does not follow, or can be read in two ways, is found."""

import shutil
from types import SimpleNamespace

import pytest

from bumperlane.case import load_case
from bumperlane.claims.verify import verify
from bumperlane.evidence.manifest import NAME, save_with_manifest
from bumperlane.judge.concluded import hashes
from bumperlane.judge.ledger import Ledger
from bumperlane.judge.sealed_seed import commit, committed_in
from bumperlane.recipes.provenance import sha256_file
from bumperlane.recipes.run import Run
from forging import edit, failed, resealed, states
from report.cases import treated_case
from whole_case import whole_case


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return whole_case(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def case(made, tmp_path):
    shutil.copytree(made, tmp_path / "case")
    return tmp_path / "case"


@pytest.mark.parametrize(
    ("name", "old", "new", "check", "said"),
    [
        ("case.json", '"verdict": "hit"', '"verdict": "clear", "verdict": "hit"', "schema", "'verdict' stands twice"),
        ("case.json", '"alpha": 0.05', '"alpha": NaN', "schema", "NaN is not a finite number"),
        ("case.json", '"alpha": 0.05', '"alpha": 1e999', "schema", "1e999 is not a finite number"),
        ("case.json", '"alpha": 0.05', '"alpha": ' + "9" * 30, "schema", "64 bits"),
        ("case.json", '"seed": 0', '"seed": ' + "[" * 99_999, "schema", "nested too deep"),
        (
            "ledger.jsonl",
            '"bumper":"Departs"',
            '"bumper":"X","bumper":"Departs"',
            "chain of the ledger",
            "stands twice",
        ),
        ("ledger.jsonl", '"bumper":"Departs"', '"bumper":["Departs"]', "chain of the ledger", "of another kind"),
    ],
)
def test_a_file_that_two_readers_would_read_differently_is_found(case, name, old, new, check, said):
    text = (case / name).read_text()
    assert old in text
    (case / name).write_text(text.replace(old, new, 1))
    assert said in failed(case)[check]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r.update(bumper=["x"]), "a word of"), (lambda r: r.update(why_blind=5), "a word of"),
        (lambda r: r.update(strata=["a"]), "1 of them with a stratum"), (lambda r: r.update(dtype="object"), "dtype"),
        (lambda r: r.update(trap_sprung="no"), "whether its trap sprang"), (lambda r: r.update(arms="bait"), "list"),
    ],
)  # fmt: skip
def test_readings_that_no_check_wrote_are_found_and_break_nothing(case, change, said):
    edit(case, lambda r: change(r["readings"][0]), "readings.json")
    assert said in failed(case)["bumpers, judged again"]


def test_readings_of_another_version_are_not_taken_for_ours(case):
    edit(case, lambda r: r.update(version=2), "readings.json")
    assert "of version 2, known is 1" in failed(case)["bumpers, judged again"]


def in_other_words(c, **more):
    c["bumpers"][0].update(why=c["bumpers"][0]["why"].replace("requests stand above", "requests lie above"), **more)


def test_what_another_version_said_in_other_words_is_no_fault(case):
    resealed(case, in_other_words)
    assert "why is" in failed(case)["bumpers, judged again"]
    resealed(case, lambda c: c["versions"].update(bumperlane="0.0.9"))
    assert "bumpers, judged again" not in failed(case)
    assert "bumperlane 0.0.9 made this case and says the same in other words" in str(verify(case))


def test_another_versions_name_excuses_no_other_number_or_verdict(case):
    resealed(case, lambda c: (c["versions"].update(bumperlane="0.0.9"), in_other_words(c, threshold=9.0)))
    assert "threshold is 9.0" in failed(case)["bumpers, judged again"]


@pytest.mark.parametrize("change", [{"replaced": 5}, {"gone": None}, {"links": [1]}, {"files": {"a": {"sha256": "x"}}}])
def test_a_manifest_that_nothing_wrote_is_found_and_breaks_nothing(case, change):
    edit(case, lambda m: m.update(change), NAME)
    edit(case, lambda c: c.update(manifest=sha256_file(case / NAME)))
    assert "is no manifest" in failed(case)["files of the case"]


def ledger_anew(place, *lines):
    """Another ledger whose chain is whole, copied into the case."""
    (place / "ledger.jsonl").unlink()
    ledger = Ledger(place / "ledger.jsonl")
    for bumper, what, steered in lines:
        what = committed_in(load_case(place)) if what == "committed" else what
        ledger.steer(bumper, steered) if steered else ledger.look(bumper, "open", what)
    resealed(place, lambda c: c.update(ledger=[e.model_dump() for e in ledger.in_case()]))


LOOKS = (("Departs", "check at step 24", ""), ("Wanders", "check at step 24", ""))
SEEDED, STEERED = ("sealed seed", "committed", ""), ("Departs", "", "bounce drop")


def test_a_bumper_that_looked_and_whose_result_was_left_out_is_found(case):
    ledger_anew(case, *LOOKS, ("Hushed", "check at step 24", ""), SEEDED, STEERED)
    said = failed(case)["looks in the ledger"]
    assert "Hushed looked (check at step 24), and the case holds no result of it" in said


def test_a_seed_that_was_committed_after_the_fix_was_chosen_is_found(case):
    ledger_anew(case, *LOOKS, STEERED, SEEDED)
    assert "committed (line 4) after a fix was chosen (line 3)" in failed(case)["looks in the ledger"]


OTHER_SEED = ("sealed seed", "committed: sha256 " + "0" * 64, "")


def test_a_seed_that_does_not_follow_from_weights_and_settings_is_found(case):
    ledger_anew(case, *LOOKS, OTHER_SEED, STEERED)
    said = "the seed of sealed contexts (line 3) is not that of the weights, step and settings"
    assert said in failed(case)["looks in the ledger"]
    ledger_anew(case, *LOOKS, OTHER_SEED, STEERED, SEEDED)
    said = "the seed of these weights and settings was committed (line 5) after a fix was chosen (line 4)"
    assert said in failed(case)["looks in the ledger"]
    ledger_anew(case, *LOOKS, OTHER_SEED, SEEDED, STEERED)  # checked anew with other settings: the old line stays
    assert "looks in the ledger" not in failed(case)


def test_another_seed_of_the_settings_is_not_the_one_that_was_committed(case):
    resealed(case, lambda c: c["settings"].update(seed=1))
    assert "is not that of the weights, step and settings" in failed(case)["looks in the ledger"]


def test_a_seed_that_cannot_be_made_anew_is_not_called_checked(case):
    resealed(case, lambda c: c.update(hashes={}))
    (found,) = [v for v in verify(case) if v.name == "looks in the ledger"]
    assert found.state == "not covered" and "the sealed seed is not made anew" in found.detail


def test_the_ledger_commits_to_the_seed_that_a_check_draws_from(tmp_path):
    """What the judge writes and what is made anew from a case are the same words."""
    inv = SimpleNamespace(
        run=SimpleNamespace(at=lambda step: SimpleNamespace(path=tmp_path / "step-000004")), step=4,
        settings=SimpleNamespace(seed=7), ledger=Ledger(tmp_path / "ledger.jsonl"),
    )  # fmt: skip
    (tmp_path / "step-000004").mkdir()
    for name in ("model-1.safetensors", "model-2.safetensors", "trainer.safetensors"):
        (tmp_path / "step-000004" / name).write_text(name)
    commit(inv)
    held = {f"step-{n}/{f}": sha256_file(tmp_path / "step-000004" / f) if n == "000004" else "0" * 64
            for n in ("000002", "000004") for f in ("model-1.safetensors", "model-2.safetensors")}  # fmt: skip
    case = treated_case().model_copy(update={"hashes": held, "subject": {"step": 4}, "settings": {"seed": 7}})
    assert committed_in(case) == inv.ledger.entries()[0].what


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda b: b["checks"][0].update(name="Wanders, which was hit"),
            "is of Wanders, and it was steered",
        ),
        (lambda b: b["checks"][0].update(name="Wanders, which was hit"), "is of Wanders, which was not hit"),
        (lambda b: b.update(steers=[]), "first check is of Departs, and it was steered by nobody"),
        (lambda b: b["checks"][0].update(name="Wanders, which was hit"), "is of Wanders, and no line of the ledger"),
    ],
)
def test_the_first_check_of_a_fix_is_of_the_bumper_that_steered_it(case, change, said):
    resealed(case, lambda c: [change(b) for b in (c["bounce"], *c["bounces"])])
    assert said in failed(case)["verdict of the fix"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("Departs", "", "bounce another"), "2 fixes were chosen (bounce drop, bounce another), and 1 are there"),
        (("Departs", "", "trace"), ""),
    ],
)
def test_a_fix_that_was_tried_and_is_not_in_the_case_is_never_fine(case, more, said):
    ledger_anew(case, *LOOKS, SEEDED, STEERED, more)
    (found,) = [v for v in verify(case) if v.name == "looks in the ledger"]
    assert (found.state, found.faults) == (("not covered", (said,)) if said else ("pass", ()))


@pytest.mark.parametrize(
    ("what", "n", "said"),
    [("retrain without-x-{}", 4, ""), ("retrain without-x-{}", 5, "5 retrains stand in the ledger, and 4 in the case"),
     ("onset at step {}", 3, ""), ("onset at step {}", 4, "4 looks for the onset stand in the ledger, and 3 in")],
)  # fmt: skip
def test_retrains_and_looks_that_were_left_out_are_never_fine(case, what, n, said):
    ledger_anew(case, *LOOKS, SEEDED, *(("Departs", what.format(i), "") for i in range(n)), STEERED)
    (found,) = [v for v in verify(case) if v.name == "looks in the ledger"]
    assert found.state == ("not covered" if said else "pass") and said in " ".join(found.faults)


def test_a_trace_that_was_made_anew_keeps_the_bounces_of_the_one_before(case):
    resealed(case, lambda c: c.update(bounce=None, stages=["check", "trace"]))
    assert states(verify(case))["verdict of the fix"] == "pass"


def test_a_seal_that_is_gone_is_found(case):
    (case / "plan.sealed.json").write_text("{}")
    save_with_manifest(case, load_case(case))
    (case / "plan.sealed.json").unlink()
    save_with_manifest(case, load_case(case))
    assert "gone: plan.sealed.json" in failed(case)["files between stages"]


def test_an_adapter_scaled_to_nothing_is_found(made, tmp_path):
    """Its weights are the same, and it answers as the base does."""
    shutil.copytree(made.parent / "run", tmp_path / "run")
    shutil.copytree(made, tmp_path / "case")
    settings = tmp_path / "run" / "checkpoints" / "step-000008" / "adapter_config.json"
    settings.write_text('{"lora_alpha": 16}')
    old = {v.name: v.state for v in verify(tmp_path / "case", run=tmp_path / "run")}
    assert old["files of the run"] == "pass"  # a case from before these were hashed cannot tell
    edit(tmp_path / "case", lambda c: c.update(hashes=hashes(Run.open(tmp_path / "run"))))
    settings.write_text('{"lora_alpha": 0}')
    said = failed(tmp_path / "case", run=tmp_path / "run")["files of the run"]
    assert "changed: step-000008/adapter_config.json" in said
