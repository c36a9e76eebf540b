"""Every kind of fix by name: those that come with the package, and third parties' by entry point."""

from importlib import import_module
from typing import Any

from ...detect.plug_ins import load_registered
from ...errors import SettingError
from ...recipes.schema import nearest
from .contract import REGISTRY, FixKind

GROUP = "bumperlane.fixes"
OURS = ("leave_out", "dose", "reward_terms", "new_answers", "topic", "added", "less_training", "patches", "guards")


def load_kinds() -> dict[str, Any]:
    """Class by name. Raises ContractError for an entry point that cannot be imported or is no kind of fix."""
    for name in OURS:
        import_module(f".{name}", __package__)
    return load_registered(GROUP, "kind of fix", REGISTRY, "fix_kind")


def find_kind(name: str) -> FixKind:
    """A kind of fix by its name. Raises SettingError with the nearest one and all that there are."""
    known = load_kinds()
    if name not in known:
        raise SettingError(f"unknown fix {name!r}. {nearest(name, ['auto', *known], 'fixes')}")
    return known[name]()


def about(name: str) -> str:
    """What a fix does, in a sentence; a control is marked as one."""
    if name == "auto":
        return "the first that --propose lists"
    kind = find_kind(name)
    return f"control: {kind.about}" if kind.masks else kind.about
