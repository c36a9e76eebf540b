"""What every rule promises, the decorator that checks it on import, and the registry by code.

A rule reads one claim's evidence and returns a grade, why with the numbers, and what would settle it. Evidence that is
absent is never a pass and never an error: UNTESTED, with what to get.
"""

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from importlib.resources import files

from ...errors import ContractError, SettingError
from ..evidence import Evidence
from ..grades import Finding, Said

Check = Callable[[Evidence, date], Said]
ALL_KINDS = ("rate_below", "rate_above", "difference", "equivalent", "treated", "cause")
MODULES = ("plan", "bound", "scope", "controls", "counting", "bumpers", "elicitation", "scoring", "comparison",
           "safeguards", "cause", "openness")  # fmt: skip
REGISTRY: dict[str, "Rule"] = {}


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        code: C and two digits.
        title: a line, what must hold.
        kinds: of claims that it applies to.
        assumes: what a claim takes for granted while this rule is not met, to follow "provided that".
    """

    code: str
    title: str
    kinds: Sequence[str]
    assumes: str
    check: Check

    def find(self, e: Evidence, on: date) -> Finding:
        if e.claim.kind not in self.kinds:
            return Finding(self.code, self.title, None, f"does not apply to a claim of kind {e.claim.kind}.")
        said = self.check(e, on)
        return Finding(self.code, self.title, said.grade, said.why, said.needed, self.assumes)

    @property
    def page(self) -> str:
        """Why, how it is checked, an example that passes and one that fails; markdown."""
        return (files("bumperlane.claims") / "rule_pages" / f"{self.code}.md").read_text("utf-8")


def rule(code: str, title: str, kinds: Sequence[str], assumes: str) -> Callable[[Check], Check]:
    """Register a rule, or say at once what is missing. Raises ContractError."""

    def register(check: Check) -> Check:
        if not re.fullmatch(r"C\d\d", code) or not title or not assumes:
            raise ContractError(f"rule {code!r} needs a code such as C07, a title, and what it assumes while not met.")
        strange = sorted(set(kinds) - set(ALL_KINDS))
        if strange or not kinds:
            raise ContractError(f"rule {code} is for the kinds {strange}. Known: {', '.join(ALL_KINDS)}.")
        held = REGISTRY.get(code)
        if held is not None and held.check.__module__ != check.__module__:
            raise ContractError(f"two rules have the code {code}: {held.title!r} and {title!r}.")
        REGISTRY[code] = Rule(code, title, tuple(kinds), assumes, check)
        return check

    return register


def load_rules() -> dict[str, Rule]:
    """Every rule by code, in order."""
    for name in MODULES:
        import_module(f"..{name}", __name__)
    return dict(sorted(REGISTRY.items()))


def find_rule(code: str) -> Rule:
    """A rule by its code; c7 and 7 are C07. Raises SettingError naming the known ones and the nearest."""
    known, wanted = load_rules(), re.sub(r"^C?(\d)$", r"C0\1", code.strip().upper())
    if wanted in known:
        return known[wanted]
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise SettingError(f"unknown rule {code!r}. {hint}Known: {', '.join(known)}. `bumperlane rule` lists them.")
