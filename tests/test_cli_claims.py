"""The commands that check claims, as a user meets them: exit codes, --json, and what goes wrong."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from bumperlane.claims.verify import case_digest
from bumperlane.cli import main
from whole_case import TRANSCRIPT, whole_case


def call(*args):
    return CliRunner().invoke(main, ["claims", *map(str, args)])


@pytest.fixture
def case(tmp_path):
    return whole_case(tmp_path)


def test_verify_lists_every_check_and_ends_with_0_when_all_pass(case):
    done = call("verify", case)
    assert done.exit_code == 0, done.output
    assert done.stdout.count("\npass ") == 12 and "13 pass. Digest of the case: " in done.stdout
    told = json.loads(call("verify", case, "--json").stdout)
    assert told["digest"] == case_digest(case) and {c["state"] for c in told["checks"]} == {"pass"}
    assert call("verify", case, "--digest", told["digest"]).exit_code == 0
    assert call("verify", case, "--digest", "0" * 64).exit_code == 1
    unset = call("verify", case, "--digest", "")
    assert unset.exit_code == 2 and "--digest is empty" in unset.stderr


def test_verify_names_what_does_not_hold_and_ends_with_1(case):
    (case / TRANSCRIPT).write_text("[]")
    done = call("verify", case)
    assert done.exit_code == 1 and f"- changed: {TRANSCRIPT}" in done.stdout and "1 fail" in done.stdout


def test_verify_ends_with_3_when_not_everything_could_be_checked(case, tmp_path):
    (tmp_path / "run").rename(tmp_path / "away")
    done = call("verify", case)
    assert done.exit_code == 3 and "not covered  files of the run" in done.stdout
    assert call("verify", case, "--run", tmp_path / "away").exit_code == 0


def test_verify_without_a_case_is_an_error(tmp_path):
    done = call("verify", tmp_path)
    assert done.exit_code == 2 and "no case.json in" in done.stderr


def test_a_hostile_file_name_is_shown_and_does_not_act(case):
    (case / "work" / "a\x1b[2Jb.json").write_text("[]")
    done = call("verify", case)
    assert done.exit_code == 1 and "\x1b" not in done.stdout and "added: work/ab.json" in done.stdout


def test_commit_publish_and_check_published_go_together(tmp_path):
    (tmp_path / "e.jsonl").write_text("".join(f'{{"id": {i}}}\n' for i in range(30)))
    made = call("commit", tmp_path / "e.jsonl", "-n", 4, "--seed-from", "beacon", "-o", tmp_path / "kept", "--json")
    digest = json.loads(made.stdout)["digest"]
    given = ("publish", tmp_path / "e.jsonl", "--commitment", tmp_path / "kept", "--seed", "77", "-o", tmp_path / "out")
    assert "4 were committed to" in call(*given, "-n", 5).stderr
    done = call(*given, "-n", 4)
    assert done.exit_code == 0 and f"--digest {digest}" in done.stdout, done.output
    assert call("check-published", tmp_path / "out", "--digest", digest, "--seed", "77").exit_code == 0
    assert call("check-published", tmp_path / "out", "--digest", digest).exit_code == 3
    assert call("check-published", tmp_path / "out", "--digest", digest, "--seed", "78").exit_code == 1
    audit = ("--private", tmp_path / "e.jsonl", "--secret", tmp_path / "kept" / "secret.json")
    done = call("check-published", tmp_path / "out", "--digest", digest, "--seed", "77", *audit)
    assert done.exit_code == 0 and "all 30 items open their commitments" in done.stdout
    alone = call("check-published", tmp_path / "out", "--private", tmp_path / "e.jsonl")
    assert alone.exit_code == 2 and "--private and --secret go together" in alone.stderr


def test_likelihood_ends_with_3_when_the_table_cannot_tell_and_0_when_it_does(case, tmp_path):
    hit, clear = ({"Departs": v, "Wanders": "clear"} for v in ("hit", "clear"))
    rows = [{"organism": f"{clean}{i}", "seed": 1, "clean": clean, "bumpers": clear if clean else hit}
            for clean in (True, False) for i in range(9)]  # fmt: skip
    (tmp_path / "t.json").write_text(json.dumps(rows))
    done = call("likelihood", case, "--table", tmp_path / "t.json")
    assert done.exit_code == 0 and "speaks for misalignment" in done.stdout and "near: False0" in done.stdout
    (tmp_path / "t.json").write_text(json.dumps(rows[6:]))
    done = call("likelihood", case, "--table", tmp_path / "t.json")
    assert done.exit_code == 3 and "it has 3 clean organisms, and 5 are needed" in done.stdout
    assert json.loads(call("likelihood", case, "--table", tmp_path / "t.json", "--json").stdout)["ratio"] is None


def test_coverage_ends_with_1_while_a_clause_is_unwatched(case, tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text("clauses:\n- {id: a, text: It is honest., watched_by: [Sycophancy]}\n")
    assert call("coverage", spec).exit_code == 0
    done = call("coverage", spec, "--case", case)
    assert done.exit_code == 1 and "not by Sycophancy did not look in this case" in done.stdout
    assert "1 of 1 clauses are watched by no bumper in" in done.stdout
    assert call("coverage", tmp_path / "none.yaml").exit_code == 2


@pytest.mark.parametrize("command", ["", "verify", "commit", "publish", "check-published", "likelihood", "coverage"])
def test_help_comes_without_torch(command):
    code = (
        "import sys\nfrom bumperlane.cli import main\n"
        f"main(['claims', *{command.split()!r}, '--help'], standalone_mode=False)\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split()[-1] == "False", done.stderr[-500:]
