"""The GitHub action: its form, and its script run by bash on cases, with the real command."""

import json
import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml

from bumperlane.case import save_case
from report.cases import CLEAR_DEPARTURE, blind_case, check_only_case, clear_case

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
INSTALL, LOOK = ACTION["runs"]["steps"]


def schema(name):
    """A schema of GitHub's, out of the package check-jsonschema, which vendors them from SchemaStore."""
    vendored = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / f"github-{name}.json"
    return json.loads(vendored.read_text("utf-8"))


def test_the_action_and_the_example_workflow_keep_github_s_schemas():
    jsonschema.validate(ACTION, schema("actions"))
    (text,) = re.findall(r"```yaml\n(# \.github.*?)```", (ROOT / "docs" / "ci.md").read_text("utf-8"), re.S)
    workflow = {("on" if key is True else key): value for key, value in yaml.safe_load(text).items()}  # YAML 1.1
    jsonschema.validate(workflow, schema("workflows"))
    (used,) = [step for step in workflow["jobs"]["check"]["steps"] if step.get("id") == "bumpers"]
    assert set(used["with"]) <= set(ACTION["inputs"])
    named = set(re.findall(r"steps\.bumpers\.outputs\.(\w+)", text))
    assert named and named <= set(ACTION["outputs"])


def test_every_input_is_described_and_told_of_in_the_docs_and_reaches_a_script_only_by_the_environment():
    page = (ROOT / "docs" / "ci.md").read_text("utf-8")
    for step in (INSTALL, LOOK):
        assert "${{" not in step["run"]
    given = " ".join(str(step["env"]) for step in (INSTALL, LOOK))
    for name, about in ACTION["inputs"].items():
        assert about["description"] and f"`{name}`" in page and f"inputs.{name} " in given
    for about in ACTION["outputs"].values():
        assert about["value"].startswith("${{ steps.look.outputs.")


@pytest.fixture
def job(tmp_path):
    """Runs the action's script as a runner would; returns (exit code, stdout, outputs)."""
    (tmp_path / "bin").mkdir()
    shim = tmp_path / "bin" / "bumperlane"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bumperlane "$@"\n')
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    shim.chmod(0o755)
    clear = clear_case().model_copy(update={"bumpers": [CLEAR_DEPARTURE]})
    for name, case in (("hit", check_only_case()), ("blind", blind_case()), ("clear", clear)):
        save_case(tmp_path / "cases of mine" / name, case)
    output, summary = tmp_path / "output", tmp_path / "summary.md"

    def run(fake="", **inputs):
        if fake:
            shim.write_text(fake)
        given = {name: about["default"] for name, about in ACTION["inputs"].items()} | inputs
        named = {key: re.search(r"inputs\.([\w-]+)", value)[1] for key, value in LOOK["env"].items()}
        environment = {
            **os.environ, **{key: given[name] for key, name in named.items()},
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(summary), "PYTHONPATH": os.pathsep.join(sys.path),
        }  # fmt: skip
        output.write_text("")
        command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", LOOK["run"]]  # as `shell: bash` does
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
        return done.returncode, done.stdout, outputs

    return run


@pytest.mark.parametrize(
    ("name", "fail_on", "code"),
    [("hit", "blind", 1), ("hit", "hit", 1), ("hit", "never", 0), ("blind", "blind", 3), ("blind", "hit", 0),
     ("clear", "blind", 0)],
)  # fmt: skip
def test_it_fails_on_what_was_asked_for(job, tmp_path, name, fail_on, code):
    got, out, outputs = job(case=f"cases of mine/{name}", **{"fail-on": fail_on})
    assert (got, outputs) == (code, {"verdict": name, "case": f"cases of mine/{name}", "report": ""}), out
    assert out.startswith({"hit": "::error ", "blind": "::warning ", "clear": "::notice "}[name])
    assert "## Bumperlane" in (tmp_path / "summary.md").read_text()


def test_it_writes_the_form_that_was_asked_for(job, tmp_path):
    code, _, outputs = job(case="cases of mine/hit", format="junit")
    assert code == 1 and outputs["report"] == "bumperlane.junit.xml"
    assert (tmp_path / "bumperlane.junit.xml").read_text().startswith("<?xml")


def test_a_check_gets_its_bumpers_and_its_case_and_no_input_becomes_code(job, tmp_path):
    case = "runs/a b.case"
    fake = f'#!/bin/sh\nprintf "<%s>" "$@"\nmkdir -p "{case}"\necho \'{{"verdict": "clear"}}\' > "{case}/case.json"\n'
    code, out, outputs = job(fake, run="runs/a b/", bumpers="One $(touch${IFS}owned) *", alpha="0.01; touch owned")
    assert code == 0 and outputs["case"] == "runs/a b.case" and not (tmp_path / "owned").exists()
    assert out == (
        "<check><runs/a b/><-o><runs/a b.case><--alpha><0.01; touch owned><--bumper><One><--bumper>"
        "<$(touch${IFS}owned)><--bumper><*><--format><github>"
    )


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "give run or case."),
        ({"case": "cases of mine/nowhere", "fail-on": "never"}, "no case.json in cases of mine/nowhere"),
        ({"case": "cases of mine/hit", "fail-on": "sometimes"}, "fail-on must be blind, hit or never."),
        ({"case": "cases of mine/hit", "format": "pdf"}, "format must be junit, sarif, json or html."),
    ],
)
def test_an_error_fails_the_job_whatever_fail_on_says(job, inputs, said):
    code, out, _ = job(**inputs)
    assert code == 2 and "::error title=bumperlane" in out and said in out


def test_bumpers_on_several_lines_are_all_looked_with(job):
    fake = '#!/bin/sh\nprintf "<%s>" "$@"\nmkdir -p r.case\necho \'{"verdict": "clear"}\' > r.case/case.json\n'
    code, out, _ = job(fake, run="r", bumpers="One\n  Two Three\n")
    assert code == 0 and "<--bumper><One><--bumper><Two><--bumper><Three>" in out


@pytest.mark.parametrize(
    ("given", "installed"),
    [(None, "/the action[train]"), ("here", "/the action"), ("hereafter", "hereafter"), ("bumperlane[train]==1", None)],
)
def test_it_installs_the_source_at_the_commit_that_was_pinned_unless_told_otherwise(tmp_path, given, installed):
    (tmp_path / "python").write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    (tmp_path / "python").chmod(0o755)
    given = ACTION["inputs"]["install"]["default"] if given is None else given
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "BUMPERLANE_INSTALL": given}
    environment["GITHUB_ACTION_PATH"] = "/the action"
    command = ["bash", "-e", "-c", INSTALL["run"]]
    out = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    assert out == f"<-m><pip><install><--disable-pip-version-check><{installed or given}>"
