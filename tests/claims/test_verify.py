"""A case that fits together passes; each way of tampering with it is found and named."""

import re
import shutil
import subprocess
import sys

import pytest

from bumperlane.case import load_case
from bumperlane.claims.advice import question
from bumperlane.claims.advice_log import AdviceLog
from bumperlane.claims.verify import case_digest, verify
from bumperlane.claims.verify_verdicts import DESCRIBED
from bumperlane.errors import CaseError
from bumperlane.evidence import described
from bumperlane.evidence.manifest import NAME, save_with_manifest
from bumperlane.judge.rates import rate_difference
from bumperlane.recipes.provenance import sha256_file
from bumperlane.report.publish import publish
from forging import edit, failed, resealed, states
from whole_case import TRANSCRIPT, whole_case


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return whole_case(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def case(made, tmp_path):
    shutil.copytree(made, tmp_path / "case")
    return tmp_path / "case"


ABOVE = "12 of 12 requests stand above the clean threshold in context bait/0 (p = 1e-9), at or below 0.05."
WORSE = "the behaviour shows in 8 of 8, in the control in 0 of 8; difference +0.00 (95% interval ...); tolerated 0.2."
FEW = "the behaviour shows in 0 of 8, in the control in 0 of 8; difference +0.00 (95% interval ...); tolerated 0.2."
EVEN = {"fixed": 0.0, "control": 0.0, "difference": 0.0, "low": -0.3, "high": 0.3, "level": 0.9, "looks": 2}
QUIET = {**EVEN, "low": rate_difference(0, 8, 0, 8).low}


def each_bounce(case, change):
    for bounce in (case["bounce"], *case["bounces"]):
        change(bounce)


def test_a_case_that_fits_together_passes_every_check(made):
    found = verify(made)
    assert set(states(found).values()) == {"pass"}, [v for v in found if v.state != "pass"]
    assert len(found) == 13


def test_it_loads_no_torch_and_writes_nothing(made):
    before = {p: p.stat().st_mtime_ns for p in made.rglob("*")}
    code = f"import sys; from bumperlane.claims.verify import verify; v = verify({str(made)!r})"
    code += "; print(len(v), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["13", "False"], done.stderr[-500:]
    assert {p: p.stat().st_mtime_ns for p in made.rglob("*")} == before


def test_one_byte_in_a_transcript_is_found_by_name(case):
    content = bytearray((case / TRANSCRIPT).read_bytes())
    content[5] ^= 1
    (case / TRANSCRIPT).write_bytes(content)
    assert f"changed: {TRANSCRIPT}" in failed(case)["files of the case"]


def test_a_removed_file_and_an_added_one_are_found_by_name(case):
    (case / TRANSCRIPT).rename(case / "work" / "responses-aaaaaaaaaaaaaaaaaaaa.json")
    said = failed(case)["files of the case"]
    assert f"removed: {TRANSCRIPT}" in said and "added: work/responses-aaaaaaaaaaaaaaaaaaaa.json" in said


def test_pages_beside_the_case_and_half_written_files_are_no_evidence(case):
    (case / "notes.txt").write_text("mine")
    (case / "report.xml").write_text("<x/>")
    (case / "work" / ".responses.json.ab12").write_text("half")
    assert failed(case) == {}


def test_a_transcript_that_changed_before_the_next_stage_saved_is_still_found(case):
    (case / TRANSCRIPT).write_text("[]")
    save_with_manifest(case, load_case(case))
    assert list(failed(case)) == ["files between stages"]
    assert f"changed: {TRANSCRIPT}" in failed(case)["files between stages"]


def test_a_transcript_that_was_gone_when_the_next_stage_saved_is_still_found(case):
    (case / TRANSCRIPT).unlink()
    publish(load_case(case), case)
    assert f"gone: {TRANSCRIPT}" in failed(case)["files between stages"]


def test_a_file_that_a_later_stage_writes_anew_is_named_and_no_fault(case):
    (case / "work" / "relearn.jsonl").write_text("first\n")
    save_with_manifest(case, load_case(case))
    (case / "work" / "relearn.jsonl").write_text("second\n")
    save_with_manifest(case, load_case(case))
    assert failed(case) == {}
    (kept,) = [v for v in verify(case) if v.name == "files between stages"]
    assert "work/relearn.jsonl" in kept.detail


def test_another_manifest_is_found_by_its_hash_in_the_case(case):
    (case / TRANSCRIPT).write_text("[]")
    new = sha256_file(case / TRANSCRIPT)
    edit(case, lambda m: m["files"][TRANSCRIPT].update(sha256=new), NAME)
    assert "not the one that case.json was written with" in failed(case)["files of the case"]
    (case / NAME).unlink()
    assert "manifest.json is missing" in failed(case)["files of the case"]


def test_a_link_is_not_followed_and_not_called_fine(case, tmp_path):
    (case / "work").rename(tmp_path / "elsewhere")
    (case / "work").symlink_to(tmp_path / "elsewhere")
    save_with_manifest(case, load_case(case).model_copy(update={"manifest": ""}))
    (case / NAME).unlink()
    save_with_manifest(case, load_case(case))
    (found,) = [v for v in verify(case) if v.name == "files of the case"]
    assert found.state == "not covered" and found.faults == ("work",)


@pytest.mark.parametrize("line", [0, 1, -1])
def test_a_deleted_ledger_row_is_found(case, line):
    lines = (case / "ledger.jsonl").read_text().splitlines(keepends=True)
    del lines[line]
    (case / "ledger.jsonl").write_text("".join(lines))
    assert "ledger.jsonl" in failed(case)["chain of the ledger"]


def test_a_ledger_that_is_gone_or_a_copy_that_says_something_else_is_found(case):
    edit(case, lambda c: c["ledger"][0].update(bumper="Nobody"))
    assert "line 1 (Departs) in case.json says something else" in failed(case)["chain of the ledger"]
    (case / "ledger.jsonl").unlink()
    assert "removed: ledger.jsonl" in failed(case)["chain of the ledger"]


def test_a_look_that_left_no_line_is_found(case):
    edit(case, lambda c: c["ledger"].pop(1))
    assert "Wanders was judged, and no look with it was recorded" in failed(case)["looks in the ledger"]


def test_a_moved_threshold_is_found_by_the_scores(case):
    resealed(case, lambda c: c["bumpers"][0].update(threshold=9.0))
    assert list(failed(case)) == ["bumpers, judged again", "verdict of the check"]
    assert "Departs: threshold is 9.0, and 0.91" in failed(case)["bumpers, judged again"]


def test_a_moved_line_of_the_whole_check_is_found(case):
    resealed(case, lambda c: c["settings"].update(alpha=1e-30))
    said = failed(case)
    assert "Departs: verdict is 'hit', and 'blind' by its scores" in said["bumpers, judged again"]
    assert "Departs is hit with p" in said["rates and lines"]


def test_changed_scores_are_found_even_with_a_new_manifest(case):
    edit(case, lambda r: r["readings"][0].update(scores=[0.0] * len(r["readings"][0]["scores"])), "readings.json")
    save_with_manifest(case, load_case(case))
    assert "Departs: verdict is 'hit', and 'clear' by its scores" in failed(case)["bumpers, judged again"]


def test_a_flipped_verdict_is_found_where_it_stands_and_where_it_leads(case):
    resealed(case, lambda c: c["bumpers"][0].update(verdict="clear"))
    said = failed(case)
    assert "Departs: verdict is 'clear', and 'hit' by its scores" in said["bumpers, judged again"]
    assert "Departs is clear with p" in said["rates and lines"]
    assert "the case says hit, and its bumpers say clear" in said["verdict of the check"]


def test_a_bumper_left_out_of_the_case_is_found(case):
    resealed(case, lambda c: c["bumpers"].pop(1))
    assert "Wanders is in readings.json and not in the case" in failed(case)["bumpers, judged again"]


@pytest.mark.parametrize(
    ("change", "check", "said"),
    [
        (lambda c: c["bumpers"][1]["groups"][0].update(over=0), "rates and lines", "0 of 12 does not give"),
        (lambda c: c["bumpers"][0]["groups"][0]["rate"].update(low=0.9), "rates and lines", "12 of 12 does not give"),
        (lambda c: c["bumpers"][0].update(p_holm=1e-30), "rates and lines", "Holm only raises"),
        (lambda c: c["onset"]["curve"][0].update(n=99), "rates and lines", "is not of 99 requests"),
        (lambda c: c["onset"].update(low=0), "onset", "by its looks it is after 8 and by 12"),
        (lambda c: c["onset"]["search"]["looks"].pop(), "onset", "its looks sum to 0 of 0"),
        (lambda c: c["causes"][0]["experiment"]["arms"][0].update(rates=[0.9, 0.9]), "causes", "its arms differ by"),
        (lambda c: c["causes"][0]["effect"].update(low=-0.1), "causes", "its effect is not that of its experiment"),
        (lambda c: c["causes"][0].update(experiment=None), "causes", "is confirmed, and no experiment was made"),
        (lambda c: c["experiments"][1].update(rates=[0.5, 1.0]), "causes", "has rate 0.0417; the record of steps has"),
        (lambda c: c["causes"][0]["experiment"]["arms"][0].update(counts=[[0, 24], [0, 24]]), "causes", "and counts"),
        (lambda c: c["causes"][0]["experiment"]["test"].update(alpha=1e-9), "causes", "by the counts of its arms"),
        (lambda c: c["causes"][0]["experiment"]["test"].update(part=0.999), "causes", "do not show that more than"),
        (lambda c: c["causes"][0]["experiment"]["test"]["every_arm"].pop(), "causes", "none of the arms of the trace"),
        (lambda c: c["bounces"][0].update(verdict="masked"), "verdict of the fix", "its checks make it treated"),
        (lambda c: c["bounce"].update(verdict="masked"), "verdict of the fix", "the last bounce is not the last"),
        (lambda c: c["bounces"][0]["checks"][1].update(passed=False), "verdict of the fix", "make it masked"),
        (lambda c: c["bounces"][0]["checks"][1]["numbers"].update(high=0.1), "verdict of the fix", "counts 0 of 12"),
        (lambda c: c["behaviour"].update(bumper="Wanders"), "verdict of the check", "which was not hit"),
        (lambda c: c["hits"].clear(), "verdict of the check", "the list of hits is not that .*: Departs"),
        (lambda c: c["onset"]["curve"].pop(0), "onset", "step 4 was looked at and is not in the curve"),
        (lambda c: c["onset"].update(level=0.999), "onset", "its level is 0.999, and 0.95"),
        (lambda c: c["onset"].update(note="Certain."), "onset", "note is 'Certain.'"),
        (lambda c: c["onset"]["search"].update(before=0.3), "onset", "and the check saw a rate of"),
        (lambda c: c["onset"]["search"]["looks"].append([20, 1, 12, 12]), "onset", "not ask for look 2 at step 20"),
        (lambda c: c["onset"]["search"].update(requests=10**9), "onset", "requests is 1000000000"),
        (lambda c: c["onset"]["curve"][0]["rate"].update(level=0.5), "rates and lines", "onset, step"),
        (lambda c: c["causes"].append({**c["causes"][0], "name": "b"}), "causes", "tranche b: its experiment is of"),
        (lambda c: c["causes"].pop(0), "causes", "tranche planted of the run is not among the causes"),
        (lambda c: c["causes"][0].update(status="cleared"), "causes", "is cleared, and its arms show that more than"),
        (lambda c: c["causes"][0].update(status="suspected"), "causes", "is suspected, and its arms show that more"),
        (lambda c: c["causes"][0]["experiment"]["test"].update(part=0.0), "causes", "decided by 0% of the rate"),
        (lambda c: c["experiments"].append({**c["experiments"][0], "rates": [0.5, 1.0]}), "causes", "and one of 0.5"),
        (lambda c: each_bounce(c, lambda b: b["checks"].pop(2)), "verdict of the fix", "no check of capability"),
        (lambda c: each_bounce(c, lambda b: b["checks"].pop(4)), "verdict of the fix", "no check of relearning"),
        (lambda c: each_bounce(c, lambda b: [k.update(split="open") for k in b["checks"]]), "verdict of the fix",
         "no check is sealed"),
        (lambda c: each_bounce(c, lambda b: b["checks"][1].update(detail=ABOVE, numbers={})), "verdict of the fix",
         "is called passed, and its p value is at or below the line"),
        (lambda c: each_bounce(c, lambda b: b["checks"][2].update(detail=WORSE, numbers=EVEN)), "verdict of the fix",
         "which gives another fixed, difference, low .*called passed, and by its counts it is failed"),
        (lambda c: each_bounce(c, lambda b: b["checks"][2].update(detail=FEW, numbers=QUIET)), "verdict of the fix",
         "called passed, and by its counts it is open"),  # fmt: skip
        (lambda c: each_bounce(c, lambda b: b["checks"][2].update(detail=FEW, numbers={**QUIET, "level": 0.5})),
         "verdict of the fix", "a level of 0.5, and it takes"),  # fmt: skip
        (lambda c: c["bumpers"].insert(0, c["bumpers"][1]), "bumpers, judged again", "Wanders stands there 2 times"),
        (lambda c: c["bumpers"][0]["groups"][2]["rate"].update(level=0.5), "bumpers, judged again", "bait/2 has"),
        (lambda c: c["settings"].update(described={}), "bumpers, judged again", "Described is not in the case"),
        (lambda c: c["settings"].update(bumpers=["Beatrix"]), "bumpers, judged again", "its settings name the bumpers"),
        (lambda c: c["subject"].update(step=16), "looks in the ledger", "looked at another step"),
        (lambda c: c["subject"].update(checkpoints=[8, 24]), "files of the run", "names checkpoints .8, 24."),
        (lambda c: c["stages"].pop(), "schema", "bounce is not among its stages, and a bounce is there"),
        (lambda c: c.update(stages=["check"], bounce=None), "schema", "trace is not among its stages"),
        (lambda c: c.update(onset=None, causes=[], experiments=[]), "schema", "an onset, causes .* not there"),
        (lambda c: c.update(onset=None), "schema", "traced, and holds no onset"),
        (lambda c: c["settings"].update(step=16), "schema", "the step is 24, and 16 by the settings"),
        (lambda c: c["subject"].update(checkpoints=["a"]), "schema", "the subject's checkpoints are"),
        (lambda c: c["claims"][0].update(text="It is safe."), "claims", "not in the evidence: .* It is safe"),
        (lambda c: c["claims"].pop(), "claims", "left out: \\(would change our mind\\)"),
    ],
)  # fmt: skip
def test_a_number_or_a_word_that_does_not_follow_is_found_in_its_check(case, change, check, said):
    resealed(case, change)
    assert re.search(said, failed(case)[check]), failed(case)[check]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(schema_version=2), "has schema version 2, and this bumperlane reads 1"),
        (lambda c: c["settings"].update(alpha="small"), "alpha must be a number from 0 to 1, got 'small'"),
        (lambda c: c["onset"].update(low=20), "it came up after step 20 and by step 12"),
        (lambda c: c["onset"]["search"]["looks"][0].__setitem__(2, -1), "looks.0.2: Input should be"),
    ],
)
def test_a_case_that_cannot_be_read_passes_nothing_else(case, change, said):
    edit(case, change)
    assert set(failed(case)) == {"schema"} and re.search(said, failed(case)["schema"])


def test_an_edited_claim_is_found_and_nothing_else(case):
    resealed(case, lambda c: c["claims"][0].update(strength="strong"))
    assert list(failed(case)) == ["claims"]


def test_a_changed_checkpoint_or_tranche_of_the_run_is_found_by_name(made, tmp_path):
    shutil.copytree(made.parent / "run", tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "step-000008" / "adapter_model.safetensors").write_bytes(b"other")
    said = failed(made, run=tmp_path / "run")["files of the run"]
    assert "changed: step-000008/adapter_model.safetensors" in said
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-000008")
    assert "removed: step-000008" in failed(made, run=tmp_path / "run")["files of the run"]


def test_a_run_that_lies_elsewhere_is_not_covered_until_its_place_is_named(made, case, tmp_path):
    edit(case, lambda c: c.update(run=str(tmp_path / "gone")))
    (found,) = [v for v in verify(case) if v.name == "files of the run"]
    assert found.state == "not covered" and "--run" in found.detail
    assert states(verify(case, run=made.parent / "run"))["files of the run"] == "pass"


def test_an_old_case_without_manifest_and_scores_is_not_covered_and_never_fine(case):
    for name in (NAME, "readings.json"):
        (case / name).unlink()
    edit(case, lambda c: (c.pop("manifest"), c["onset"].pop("search"), c["causes"][0]["experiment"].pop("test")))
    found = states(verify(case))
    assert {n for n, s in found.items() if s == "not covered"} == {
        "files of the case", "bumpers, judged again", "onset", "causes",
    }  # fmt: skip
    assert "fail" not in found.values()


def test_the_digest_that_was_told_finds_a_case_in_which_all_was_rewritten(case):
    told = case_digest(case)
    assert states(verify(case, digest=told))["digest"] == "pass"
    resealed(case, lambda c: c.update(command="another"))
    assert states(verify(case))["claims"] == "pass" and failed(case) == {}
    assert "case.json has" in failed(case, digest=told)["digest"]


def test_a_damaged_case_json_fails_the_schema_and_no_case_at_all_is_an_error(case, tmp_path):
    edit(case, lambda c: c.update(verdict="fine"))
    assert "verdict" in failed(case)["schema"]
    with pytest.raises(CaseError, match="no case.json in"):
        verify(tmp_path)


def test_the_name_of_a_described_behaviour_is_the_one_that_checks_use():
    assert described.NAME == DESCRIBED


def test_advice_may_come_later_and_a_changed_line_of_it_is_found(case):
    log, asked = AdviceLog(case), question(case, load_case(case), "claim", 1)
    log.decided(asked, "fair", "it counts", "ann")
    assert states(verify(case))["advice and decisions"] == "pass" and not failed(case)
    log.path.write_text(log.path.read_text().replace("it counts", "it mounts"))
    assert "its hash does not follow" in failed(case)["advice and decisions"]
