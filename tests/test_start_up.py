"""How fast the commands answer that need no model: counted in modules, and generously in CPU seconds."""

import resource
import subprocess
import sys

import click
import pytest

from bumperlane.case import save_case
from bumperlane.cli import main
from report.cases import treated_case

HEAVY = "torch transformers peft scipy sklearn pyarrow pandas ray"
LIMIT_S = 1.5  # of CPU; 0.1 to 0.3 on an idle machine. What makes it slow is an import, and those are counted exactly


def every_command(group=main, before=()):
    """The words of every command and group."""
    found = [before]
    for name, command in group.commands.items():
        words = (*before, name)
        found += every_command(command, words) if isinstance(command, click.Group) else [words]
    return found


def run(code):
    """(stdout, heavy modules that were imported, CPU seconds) of a fresh interpreter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = "import sys, atexit\n"
    told += f"atexit.register(lambda: print('HEAVY', *[m for m in '{HEAVY}'.split() if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", f"{told}\n{code}"], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[-800:]
    out, _, heavy = done.stdout.rpartition("HEAVY")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return out, heavy.split(), spent


def command(*words):
    return f"from bumperlane.cli import main\nmain({list(words)!r}, prog_name='bumperlane')"


def test_the_help_of_every_command_imports_nothing_heavy():
    """All in one process, so that it takes a second: whatever any of them imported would show."""
    words = [list(w) for w in every_command()]
    assert len(words) >= 30
    code = (
        "from bumperlane.cli import main\n"
        f"for words in {words!r}:\n"
        "    try:\n        main([*words, '--help'], prog_name='bumperlane')\n"
        "    except SystemExit as end:\n        assert not end.code, words\n"
    )
    out, heavy, _ = run(code)
    assert out.count("Usage: bumperlane") == len(words) and heavy == []


@pytest.mark.parametrize(
    "code",
    [
        "import bumperlane", command("--help"), command("explain"), command("explain", "PairedContexts"),
        command("explain", "--json"), command("completion", "bash"), command("check", "--help"),
    ],
)  # fmt: skip
def test_it_answers_at_once_and_without_torch(code):
    _, heavy, cpu_s = run(code)
    assert heavy == [] and cpu_s < LIMIT_S


def test_a_report_on_a_case_that_another_machine_made_needs_no_torch(tmp_path):
    save_case(tmp_path, treated_case())
    for form in ("github", "junit", "sarif", "json", "html"):
        out, heavy, _ = run(command("report", str(tmp_path), "--format", form))
        assert out and "torch" not in heavy, form


def test_the_count_sees_a_heavy_import():
    _, heavy, _ = run("import scipy")
    assert heavy == ["scipy"]
