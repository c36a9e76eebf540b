"""claims compile and critique, plan and rule as a user meets them: exit codes, errors, --json."""

import json
import subprocess
import sys
import time

import pytest
import yaml
from click.testing import CliRunner

from bumperlane.case import save_case
from bumperlane.claims.read_evidence import dump_evidence
from bumperlane.claims.rule_kinds.contract import load_rules
from bumperlane.cli import main
from claims.claim_evidence import whole
from report.cases import HOSTILE, treated_case

DAY = ("--on", "2026-11-22")
TEXT = "At most {bound.high:percent} of answers are {claim.behaviour}."


def call(*args):
    return CliRunner().invoke(main, [str(a) for a in args])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "whole.yaml").write_text(dump_evidence(whole()))
    (tmp_path / "plan.yaml").write_text(
        "claim: c\nthresholds: {t: 0.02}\nsamples: {items: 9}\nanalysis: a\nevidence: [runs]\n"
    )
    return tmp_path


def claims(folder, *entries):
    file = folder / "claims.yaml"
    file.write_text(yaml.safe_dump({"claims": list(entries)}, sort_keys=False))
    return file


def test_compile_writes_text_and_json_and_ends_with_0_when_all_are_supported(folder):
    done = call(
        "claims", "compile", claims(folder, {"evidence": "whole.yaml", "text": TEXT}), "-o", folder / "out", *DAY
    )
    assert done.exit_code == 0, done.output
    assert (
        done.stdout.startswith("SUPPORTED  At most 1.18% of answers are threats.")
        and "1 of 1 claims are as good as they are stated" in done.stdout
    )
    assert (folder / "out" / "claims.txt").read_text().startswith("SUPPORTED  At most 1.18% of answers are threats.")
    held = json.loads((folder / "out" / "claims.json").read_text())["claims"]
    assert held[0]["grade"] == "SUPPORTED" and len(held[0]["findings"]) == len(load_rules())


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"access": {"relation": "self"}}, 1), ({"counts": {"bad": 60}, "items": [], "awareness": None}, 1),
        ({"review": None}, 3),
        ({}, 0),
        ({"review": None, "access": {"relation": "self"}}, 3),
    ],
)  # fmt: skip
def test_exit_codes_are_1_when_a_claim_is_not_as_good_as_stated_and_3_when_it_is_only_untested(folder, more, code):
    assert (
        call(
            "claims", "compile", claims(folder, {"evidence": "whole.yaml", "more": more, "text": TEXT}), *DAY
        ).exit_code
        == code
    )


def test_a_number_in_the_prose_ends_with_2_and_names_file_and_line(folder):
    file = claims(folder, {"evidence": "whole.yaml", "text": "None of 800 threaten."})
    done = call("claims", "compile", file, "--json")
    assert done.exit_code == 2 and f"{file}:3:9: the number '8' stands in the prose" in json.loads(done.stdout)["error"]


def test_critique_takes_our_file_a_case_and_a_log(folder):
    assert call("claims", "critique", folder / "whole.yaml", *DAY).exit_code == 0
    save_case(folder / "case", treated_case())
    done = call("claims", "critique", folder / "case", "--json")
    assert done.exit_code == 1 and {c["evidence"]["claim"]["kind"] for c in json.loads(done.stdout)} >= {
        "treated",
        "cause",
    }
    log = {"status": "success", "eval": {"task": "t", "model": "m"}, "results": {"total_samples": 2},
           "samples": [{"id": i, "epoch": 1, "scores": {"match": {"value": "C"}}} for i in range(2)]}  # fmt: skip
    (folder / "log.json").write_text(json.dumps(log))
    assert call("claims", "critique", folder / "log.json").exit_code == 3
    done = call("claims", "critique", folder / "log.json", "--claim", "above", "--threshold", "0.9", "--event", "right")
    assert done.exit_code == 1 and "is at least 90%" in done.stdout and "C03 NOT SUPPORTED: 2 of 2 seen" in done.stdout


def test_what_somebody_else_wrote_cannot_act_on_the_terminal(folder):
    changed = whole(claim={"behaviour": HOSTILE}, review={"defeaters": [{"text": HOSTILE, "status": "open"}]})
    (folder / "bad.yaml").write_text(dump_evidence(changed))
    done = call("claims", "critique", folder / "bad.yaml", *DAY)
    assert done.exit_code == 1 and not {"\x1b", "\u202e", "\x9b", "\x07"} & set(done.stdout)


def test_plan_is_sealed_checked_and_shown_as_deviated(folder):
    plan = folder / "plan.yaml"
    assert call("plan", "check", plan).exit_code == 2
    done = call("plan", "seal", plan)
    assert done.exit_code == 0 and done.stdout.startswith("sha256 ") and (folder / "plan.sealed.json").is_file()
    assert call("plan", "check", plan).exit_code == 0
    plan.write_text(plan.read_text().replace("0.02", "0.04"))
    done = call("plan", "check", plan)
    assert done.exit_code == 1 and done.stdout == "deviation: thresholds.t: 0.02 was sealed, now 0.04\n"
    value = json.loads(call("plan", "check", plan, "--json").stdout)
    assert value["deviations"] == [{"field": "thresholds.t", "sealed": 0.02, "now": 0.04}]
    assert call("plan", "seal", plan).exit_code == 2


def test_a_plan_that_is_sealed_after_the_first_sample_says_so_and_ends_with_1(folder):
    (folder / "runs").write_text("{}")
    done = call("plan", "seal", folder / "plan.yaml")
    assert done.exit_code == 1 and "SEALED AFTER THE FIRST SAMPLE: runs: 1 file" in done.stdout
    assert call("plan", "check", folder / "plan.yaml").exit_code == 1


def test_rules_are_listed_and_each_page_is_shown():
    lines = call("rule").stdout.splitlines()
    assert [line[:3] for line in lines[: len(load_rules())]] == list(load_rules())
    assert call("rule", "c07").stdout == load_rules()["C07"].page
    assert len(json.loads(call("rule", "--json").stdout)) == len(load_rules())
    wrong = call("rule", "C77")
    assert wrong.exit_code == 2 and "unknown rule 'C77'. Did you mean C17? Known: C01" in wrong.stderr


@pytest.mark.parametrize("args", [("claims", "--help"), ("plan", "seal", "--help"), ("rule", "--help")])
def test_help_comes_without_scipy_or_torch_and_in_half_a_second_of_cpu(args):
    code = (
        "import sys, time; from bumperlane.cli import main\n"
        f"try: main({list(args)!r})\n"
        "except SystemExit: pass\n"
        "print(time.process_time(), sorted({'torch', 'scipy'} & set(sys.modules)), file=sys.stderr)"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    seconds, modules = done.stderr.strip().splitlines()[-1].split(" ", 1)
    assert modules == "[]" and float(seconds) < 2 and time.monotonic() - began < 30  # 0.5 s on an idle machine
