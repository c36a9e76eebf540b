"""What third parties add to a room: found by entry point, and refused in words when it does not load."""

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ..errors import ContractError


def load_plug_ins(group: str, what: str) -> Iterator[tuple[EntryPoint, Any]]:
    """Each entry point of a group with the object it names.

    Raises ContractError for one that cannot be imported; `what` says what it should have been: "bumper", "seeds".
    """
    for point in entry_points(group=group):
        try:
            yield point, point.load()
        except (ImportError, AttributeError) as error:
            raise ContractError(
                f"{what} {point.name!r} ({point.value}) cannot be imported: {error}. "
                "Install what it needs or remove it."
            ) from error


def load_registered(group: str, what: str, registry: Mapping[str, Any], decorator: str) -> dict[str, Any]:
    """A registry, sorted by name, once every entry point has been imported and so has put itself there.

    Raises ContractError for an entry point that is not in it: its class lacks the decorator.
    """
    for point, found in load_plug_ins(group, what):
        if found not in registry.values():
            raise ContractError(
                f"entry point {point.name!r} ({point.value}) is no {what}. Put @{decorator} on its class."
            )
    return dict(sorted(registry.items()))
