"""The plug-in as a project that tests its model meets it: a pytest of its own, in a directory of its own."""

import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from bumperlane.case import save_case
from report.cases import CLEAR_DEPARTURE, HOSTILE, SEALED, UNSEEING, blind_case, check_only_case, clear_case

pytest_plugins = ["pytester"]
INSTALLED = any(point.value == "bumperlane.report.pytest_plugin" for point in entry_points(group="pytest11"))
LOADED = () if INSTALLED else ("-p", "bumperlane.report.pytest_plugin")  # twice would be once too often
NAMES = {
    "hit": check_only_case,
    "blind": blind_case,
    "clear": lambda: clear_case().model_copy(update={"bumpers": [CLEAR_DEPARTURE, SEALED]}),
    "mixed": lambda: clear_case().model_copy(update={"bumpers": [CLEAR_DEPARTURE, UNSEEING]}),
    "empty": lambda: clear_case().model_copy(update={"bumpers": []}),
}


@pytest.fixture
def project(pytester):
    """A project with a case of each kind below `cases/`; returns what runs its tests."""
    for name, make in NAMES.items():
        save_case(pytester.path / "cases" / name, make())

    def run(text, *options, ini=""):
        pytester.makeini(f"[pytest]\n{ini}\n")
        pytester.makepyfile(f"import pytest\n{text}")
        return pytester.runpytest_subprocess(*LOADED, "-p", "no:cacheprovider", "-rs", *options)

    return run


def marked(arguments, body="pass", parameters=""):
    return f"@pytest.mark.bumper({arguments})\ndef test_it({parameters}):\n    {body}\n"


@pytest.mark.parametrize(
    ("arguments", "counts", "said"),
    [
        ("case='cases/clear'", {"passed": 1}, "clear  ContextDeparture (runs/letters-360m)"),
        ("case='cases/hit'", {"failed": 1}, "hit: ContextDeparture: 41 of 64 answers"),
        ("'MahalanobisShift', case='cases/hit'", {"passed": 1}, "clear  MahalanobisShift"),
        ("'ContextDeparture', case='cases/hit'", {"failed": 1}, "hit    ContextDeparture (runs/letters-360m)"),
        ("case='cases/blind'", {"failed": 1}, "Blind is not clear: nothing was seen either way."),
        ("case='cases/blind', blind='skip'", {"skipped": 1}, "blind  RewardHackShape (runs/letters-360m)"),
        ("case='cases/mixed'", {"failed": 1}, "blind: RewardHackShape: the run has no rollout log"),
        ("'ContextDeparture', case='cases/mixed'", {"passed": 1}, "clear  ContextDeparture"),
        ("case='cases/empty'", {"failed": 1}, "blind: no bumper looked in this case."),
        ("'Mahalanobis', case='cases/clear'", {"failed": 1}, "Mahalanobis did not look in this case of runs/"),
        ("'Mahalanobis', case='cases/blind', blind='skip'", {"failed": 1}, "Those that did: RewardHackShape."),
        ("case='cases/nowhere'", {"failed": 1}, "no case.json in *cases/nowhere. Make one with `bumperlane check RUN"),
        ("", {"failed": 1}, "no case to look at. Name one in the mark (case=... or run=...), with --bumper-case, or"),
        ("case='cases/clear', blind='pass'", {"failed": 1}, "has blind='pass'. Known: fail, skip."),
        ("case='cases/clear', alpha=0.1", {"failed": 1}, "alpha are settings of a check, so they need run="),
    ],
)  # fmt: skip
def test_hit_and_blind_fail_and_only_clear_passes(project, arguments, counts, said):
    done = project(marked(arguments))
    done.assert_outcomes(**counts)
    done.stdout.fnmatch_lines([f"*{said.replace('[', '[[]')}*"])
    assert "Traceback" not in done.stdout.str() and "INTERNALERROR" not in done.stdout.str()


def test_a_hit_keeps_the_test_s_own_code_from_running(project):
    project(marked("case='cases/hit'", "print('it ran')"), "-s").stdout.no_fnmatch_line("*it ran*")


def test_the_case_may_stand_on_the_command_line_or_in_the_ini_file(project):
    text = marked("'MahalanobisShift'") + "def test_other(bumper_case):\n    assert bumper_case.verdict == 'hit'\n"
    project(text, "--bumper-case=cases/hit").assert_outcomes(passed=2)
    project(text, ini="bumper_case = cases/hit").assert_outcomes(passed=2)
    project(text, "--bumper-case=cases/hit", ini="bumper_case = cases/nowhere").assert_outcomes(passed=2)


def test_the_result_can_be_asked_for_more(project):
    text = marked("'MahalanobisShift', case='cases/hit'", "assert bumper_result.effect.high < 0.01", "bumper_result")
    done = project(text)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*assert 0.084 < 0.01*"])
    project(marked("case='cases/clear'", "pass", "bumper_result")).assert_outcomes(errors=1)


def test_marks_of_class_and_test_both_count(project):
    text = (
        "@pytest.mark.bumper('MahalanobisShift', case='cases/hit')\nclass TestIt:\n"
        "    @pytest.mark.bumper('ContextDeparture', case='cases/hit')\n    def test_a(self): pass\n"
        "    def test_b(self): pass\n"
    )
    project(text).assert_outcomes(failed=1, passed=1)


def test_with_junit_and_workers_the_verdicts_come_along(project, pytester):
    done = project(marked("case='cases/hit'"), "-n", "1", "--junit-xml=out.xml")
    done.stdout.fnmatch_lines(["hit    ContextDeparture (runs/letters-360m)"])
    assert 'name="bumper: ContextDeparture (runs/letters-360m)" value="hit"' in (pytester.path / "out.xml").read_text()


def test_hostile_text_cannot_act_on_the_terminal(project, pytester):
    hit = check_only_case().bumpers[0].model_copy(update={"verdict": "hit", "why": HOSTILE, "bumper": HOSTILE})
    save_case(pytester.path / "cases" / "hostile", check_only_case().model_copy(update={"bumpers": [hit], "hits": []}))
    done = project(marked("case='cases/hostile'"), "--color=no")
    done.assert_outcomes(failed=1)
    assert "\x1b" not in done.stdout.str() and "\u202e" not in done.stdout.str()


def test_a_run_is_checked_once_and_a_case_of_another_run_is_refused(project, monkeypatch):
    """With a made-up check: what a real one does is tested with the command."""
    text = (
        "import bumperlane.judge.check as judge\nfrom bumperlane.case import load_case\n"
        "from pathlib import Path\ncalls = []\n"
        "@pytest.fixture(autouse=True)\n"
        "def made_up(monkeypatch):\n"
        "    monkeypatch.setattr('bumperlane.recipes.run.Run.open', lambda run: run)\n"
        "    monkeypatch.setattr('bumperlane.judge.reopen.reopen', lambda *a: None)\n"
        "    monkeypatch.setattr(judge, 'hashes', lambda run: {'recipe.yaml': 'other'})\n"
        "    made = load_case(Path('cases/clear'))\n"
        "    monkeypatch.setattr(judge, 'check', lambda run, place, s: calls.append(s) or made)\n"
        "@pytest.mark.bumper('ContextDeparture', run='run', alpha=0.01, contexts=['Be evil.'])\n"
        "def test_a(): pass\n"
        "@pytest.mark.bumper('MahalanobisShift', run='run', alpha=0.01, contexts=['Be evil.'])\n"
        "def test_b(bumper_check):\n"
        "    assert bumper_check('run', alpha=0.01, contexts=['Be evil.']).verdict == 'clear'\n"
        "    assert [(s.alpha, s.contexts) for s in calls] == [(0.01, ('Be evil.',))]\n"
        "@pytest.mark.bumper(run='run', case='cases/clear')\n"
        "def test_c(): pass\n"
        "@pytest.mark.bumper(run='run', alhpa=0.1)\n"
        "def test_d(): pass\n"
    )
    done = project(text)
    done.assert_outcomes(passed=2, failed=2)
    done.stdout.fnmatch_lines(
        ["*is a case of other files than those of*", "*unknown settings [[]'alhpa']*Known: step, alpha*"]
    )


def test_loading_the_plug_in_brings_in_nothing_of_bumperlane_and_takes_no_time():
    code = (
        "import json, sys, time, pytest; began = time.process_time(); import bumperlane.report.pytest_plugin; "
        "took = time.process_time() - began; "
        "print(json.dumps([took, [m for m in sys.modules if m in ('torch', 'numpy', 'pydantic', 'rich', 'click') "
        "or m.startswith('bumperlane')]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    took, modules = json.loads(done.stdout)
    assert took < 0.05 and sorted(modules) == ["bumperlane", "bumperlane.report", "bumperlane.report.pytest_plugin"]


def test_pip_installs_it_as_a_plug_in():
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"bumperlane": "bumperlane.report.pytest_plugin"}


def test_a_hit_that_none_of_the_bumpers_explains_still_fails_and_a_class_is_no_name(project, pytester):
    clear = [b.model_copy(update={"verdict": "clear"}) for b in check_only_case().bumpers]
    save_case(pytester.path / "odd", check_only_case().model_copy(update={"bumpers": clear, "hits": []}))
    done = project(marked("case='odd'"))
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*the verdict is hit, and no bumper was hit*"])
    done = project(marked("int, case='cases/clear'"))
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*takes names of bumpers as strings, got <class 'int'>*"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("case=3", "case=3 is no path. Give the directory as a string."),
        ("run='cases', alpha='x'", "a setting of the check has the wrong type"),
        ("run='cases', bumpers='PairedContexts'", "bumpers='PairedContexts' must be a list of names"),
    ],
)
def test_arguments_of_a_wrong_type_are_told_without_a_traceback(project, arguments, said):
    done = project(marked(arguments))
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines([f"*{said}*"])
    done.stdout.no_fnmatch_line("*TypeError*pytest_plugin*")
