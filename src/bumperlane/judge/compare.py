"""Two cases side by side: what differs in the recipes, which hits came and went, and whether they can be compared.

Verdicts are comparable when both checks asked the same with the same thresholds. So other bumpers, settings, requests
or another base are faults: they are listed, and the comparison ends as `not comparable`, however the verdicts look.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..case import BumperResult, Case, Group, Range
from ..recipes.provenance import sha256_file
from ..recipes.schema import load_recipe
from .rates import rate_difference

Change = Literal["same", "gained", "lost", "sight lost", "sight gained", "only in one"]
Ending = Literal["worse", "same", "better", "not comparable"]
# What a verdict depends on. Those that do not: where it was computed, how precisely, and which checkpoint was chosen.
BESIDE = {"seed", "device", "dtype", "step", "bumpers"}


@dataclass(frozen=True)
class ContextPair:
    """One context that both cases judged with one bumper: over/of in each, B - A with Newcombe's interval, and Fisher's
    exact p, Holm-corrected over all such pairs."""

    bumper: str
    context: str
    a: tuple[int, int]
    b: tuple[int, int]
    difference: Range
    p_holm: float


@dataclass(frozen=True)
class BumperPair:
    """One bumper: verdict and worst context's rate in each case (None where it did not look or was blind)."""

    bumper: str
    split: str
    a: str
    b: str
    change: Change
    rate_a: Range | None = None
    rate_b: Range | None = None
    difference: Range | None = None
    same_context: bool = False
    shared: int = 0


@dataclass(frozen=True)
class Comparison:
    """`ending` is B against A. `faults`: why the two cannot be compared; `notes`: what else differs."""

    a: str
    b: str
    ending: Ending
    why: str
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    recipe: str
    bumpers: tuple[BumperPair, ...]
    contexts: tuple[ContextPair, ...]
    moved: tuple[ContextPair, ...]
    verdicts: tuple[str, str]
    onsets: tuple[str, str]
    causes: dict[str, tuple[str, str]] = field(default_factory=dict)
    bounces: tuple[str, str] = ("", "")
    checks: dict[str, tuple[str, str]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As JSON: intervals are objects of value, low, high and level."""

        def plain(value: Any) -> Any:
            if isinstance(value, Range):
                return value.model_dump()
            if isinstance(value, dict):
                return {k: plain(v) for k, v in value.items()}
            return [plain(v) for v in value] if isinstance(value, list | tuple) else value

        return plain(asdict(self))


def compare(first: tuple[str, Case], second: tuple[str, Case]) -> Comparison:
    """Compare two cases, each with the name it is to be called by.

    B is worse when a hit came up, when the rate of a context in both rose beyond chance (at A's alpha over all such
    contexts), or when its fix is no longer treated; better when hits or rates went and none came.
    """
    (name_a, a), (name_b, b) = first, second
    pairs = tuple(_bumper_pair(x, y) for x, y in _paired(a, b))
    contexts = _contexts(a, b)
    moved = tuple(c for c in contexts if c.p_holm <= a.settings.get("alpha", 0.05))
    recipe, recipe_note = _recipes(a, b)
    faults = (*_faults(a, b), *_unseen(pairs))
    ending, why = _ending(a, b, pairs, moved)
    if faults:
        ending, why = "not comparable", f"the two cannot be compared: {'; '.join(faults)}."
    return Comparison(
        name_a, name_b, ending, why, faults, tuple(n for n in (*_notes(a, b), recipe_note) if n), recipe, pairs,
        contexts, moved, (a.verdict, b.verdict), (_onset(a), _onset(b)),
        _side_by_side({f"{c.kind} {c.name}": c.status for c in a.causes},
                      {f"{c.kind} {c.name}": c.status for c in b.causes}),
        (_bounce(a), _bounce(b)), _side_by_side(_checks(a), _checks(b)),
    )  # fmt: skip


def _paired(a: Case, b: Case) -> list[tuple[BumperResult | None, BumperResult | None]]:
    """The results of each bumper and split, in A's order, then those of B alone."""
    of_a, of_b = ({(r.bumper, r.split): r for r in case.bumpers} for case in (a, b))
    return [(of_a.get(key), of_b.get(key)) for key in dict.fromkeys([*of_a, *of_b])]


def _bumper_pair(a: BumperResult | None, b: BumperResult | None) -> BumperPair:
    known = a or b
    if known is None or a is None or b is None:
        told = [r.verdict if r else "–" for r in (a, b)]
        rates = [r.effect if r else None for r in (a, b)]
        name, split = (known.bumper, known.split) if known else ("", "")
        return BumperPair(name, split, told[0], told[1], "only in one", rates[0], rates[1])
    worst_a, worst_b = _worst(a), _worst(b)
    same = bool(worst_a and worst_b and _key(worst_a) == _key(worst_b))
    difference = _difference(worst_a, worst_b) if worst_a and worst_b else None
    change = _change(a.verdict, b.verdict)
    return BumperPair(
        a.bumper, a.split, a.verdict, b.verdict, change, a.effect, b.effect, difference, same, len(_shared(a, b))
    )


def _change(a: str, b: str) -> Change:
    if a == b:
        return "same"
    if "blind" in (a, b):
        return "sight lost" if b == "blind" else "sight gained"
    return "gained" if b == "hit" else "lost"


def _worst(result: BumperResult) -> Group | None:
    """The group that `effect` is the rate of: the judge puts it first."""
    return result.groups[0] if result.groups and result.verdict != "blind" else None


def _key(group: Group) -> str:
    """A context by its text: names are numbers in an order that depends on the data."""
    return group.text or group.name


def _shared(a: BumperResult, b: BumperResult) -> set[str]:
    return {_key(g) for g in a.groups} & {_key(g) for g in b.groups}


def _difference(a: Group, b: Group) -> Range:
    """B - A. Requests count as independent; where both were asked the same ones, that makes it too wide, not narrow."""
    return Range.of(rate_difference(b.over, b.of, a.over, a.of))


def _contexts(a: Case, b: Case) -> tuple[ContextPair, ...]:
    """Every context that both judged with the same bumper, largest rise first."""
    from scipy import stats

    from ..evidence.holm import holm

    found = []
    for one, other in _paired(a, b):
        if one is None or other is None or "blind" in (one.verdict, other.verdict):
            continue
        beside = {_key(g): g for g in other.groups}
        found += [(one.bumper, g, beside[_key(g)]) for g in one.groups if _key(g) in beside]
    tables = [[[y.over, y.of - y.over], [x.over, x.of - x.over]] for _, x, y in found]
    adjusted = holm([float(stats.fisher_exact(table).pvalue) for table in tables]) if tables else []
    pairs = [
        ContextPair(bumper, _key(x), (x.over, x.of), (y.over, y.of), _difference(x, y), p)
        for (bumper, x, y), p in zip(found, adjusted, strict=True)
    ]
    return tuple(sorted(pairs, key=lambda p: (-p.difference.value, p.p_holm)))


def _faults(a: Case, b: Case) -> list[str]:
    """What makes the verdicts those of two different questions."""
    faults = []
    paired = _paired(a, b)
    only = [[x.bumper for x, y in paired if x and not y], [y.bumper for x, y in paired if y and not x]]
    for which, names in zip("AB", only, strict=True):
        if names:
            faults.append(f"only {which} looked with {', '.join(dict.fromkeys(names))}")
    for name in sorted({*a.settings, *b.settings} - BESIDE):
        one, other = a.settings.get(name), b.settings.get(name)
        if (one or None) != (other or None):
            faults.append(f"{name} is {_short(one)} in A and {_short(other)} in B")
    if a.subject.get("base") != b.subject.get("base"):
        faults.append(f"the base is {_short(a.subject.get('base'))} in A and {_short(b.subject.get('base'))} in B")
    if a.subject.get("requests") != b.subject.get("requests"):
        faults.append(f"requests are {a.subject.get('requests')} in A and {b.subject.get('requests')} in B")
    apart = [x.bumper for x, y in _paired(a, b) if x and y and x.groups and y.groups and not _shared(x, y)]
    if apart:
        faults.append(f"no context in common was judged by {', '.join(apart)}")
    held = [_held_out(case) for case in (a, b)]
    if all(held) and held[0] != held[1]:
        faults.append("the held-out requests are other ones")
    return faults


def _unseen(pairs: Sequence[BumperPair]) -> list[str]:
    """What nobody can say, for one of the two did not see it. Hits where the other was blind may be old or new."""
    lost = [p.bumper for p in pairs if p.change == "sight lost"]
    faults = [f"{', '.join(lost)} could see in A and is blind in B"] if lost else []
    came = [p.bumper for p in pairs if p.change == "sight gained" and p.b == "hit"]
    faults += [f"{', '.join(came)} was blind in A and is hit in B: that may be old or new"] if came else []
    if all(p.a == p.b == "blind" for p in pairs):
        faults.append("no bumper could see in either")
    return faults


def _notes(a: Case, b: Case) -> list[str]:
    notes = []
    for name in ("seed", "dtype"):
        if a.settings.get(name) != b.settings.get(name):
            notes.append(f"{name} is {_short(a.settings.get(name))} in A and {_short(b.settings.get(name))} in B")
    if a.subject.get("step") != b.subject.get("step"):
        notes.append(f"A is step {a.subject.get('step')}, B is step {b.subject.get('step')}")
    for name in sorted({*a.versions, *b.versions}):
        if a.versions.get(name) != b.versions.get(name):
            notes.append(f"{name} {a.versions.get(name, 'absent')} in A, {b.versions.get(name, 'absent')} in B")
    for one, other in _paired(a, b):
        if one and other and one.groups and other.groups:
            alone = [
                len({_key(g) for g in x.groups} - {_key(g) for g in y.groups}) for x, y in ((one, other), (other, one))
            ]
            if any(alone):
                notes.append(f"{one.bumper} judged {alone[0]} contexts in A only and {alone[1]} in B only")
    both_blind = [p.bumper for p, q in _paired(a, b) if p and q and p.verdict == q.verdict == "blind"]
    if both_blind:
        notes.append(f"blind in both, so nothing is known: {', '.join(both_blind)}")
    return notes


def _held_out(case: Case) -> str:
    """The hash of the held-out requests where run and file are still there, else nothing."""
    recipe = _recipe_of(case)
    file = recipe.held_out if recipe else None
    return sha256_file(file) if file and file.is_file() else ""


def _recipe_of(case: Case) -> Any:
    """The recipe of the case's run, as it was when it was checked; None where it is gone or was changed."""
    file = Path(case.run) / "recipe.yaml"
    if not file.is_file() or sha256_file(file) != case.hashes.get("recipe.yaml"):
        return None
    return load_recipe(file, check_files=False)


def _recipes(a: Case, b: Case) -> tuple[str, str]:
    """(their difference, a note where it is not known)."""
    from ..recipes.edits import diff

    recipes = [_recipe_of(case) for case in (a, b)]
    gone = [which for which, recipe in zip("AB", recipes, strict=True) if recipe is None]
    if gone:
        return "", f"the recipe of {' and '.join(gone)} is gone or was changed since, so recipes are not compared"
    changed = [n for n in a.hashes if n in b.hashes and n.endswith(".jsonl") and a.hashes[n] != b.hashes[n]]
    kept = [n.removesuffix(".jsonl") for n in a.hashes if n in b.hashes and n not in changed]
    moved = tuple(f"~ tranche {name}: path " for name in kept)  # the same content elsewhere
    lines = [line for line in diff(*recipes).splitlines() if not line.startswith(moved)]
    return "\n".join([*lines, *(f"~ data {name}: other content" for name in changed)]), ""


def _ending(a: Case, b: Case, pairs: Sequence[BumperPair], moved: Sequence[ContextPair]) -> tuple[Ending, str]:
    gained, lost = ([p.bumper for p in pairs if p.change == c] for c in ("gained", "lost"))
    rose = [c.bumper for c in moved if c.difference.value > 0]
    fell = [c.bumper for c in moved if c.difference.value < 0]
    worse_fix = bool(a.bounce and b.bounce and a.bounce.verdict == "treated" != b.bounce.verdict)
    worse = [
        f"{text}: {', '.join(dict.fromkeys(names))}"
        for text, names in (("new hits", gained), ("rates rose in a shared context", rose))
        if names
    ]
    if worse_fix and b.bounce:
        worse.append(f"the fix was treated in A and is {b.bounce.verdict} in B")
    if worse:
        return "worse", f"B is worse. {'; '.join(worse)}."
    if lost or fell:
        better = [f"hits gone: {', '.join(lost)}"] if lost else []
        better += [f"rates fell in a shared context: {', '.join(dict.fromkeys(fell))}"] if fell else []
        return "better", f"B is better. {'; '.join(better)}. That no bumper is hit does not show that nothing is there."
    return "same", "no hit came or went, and no shared context's rate moved beyond chance."


def _side_by_side(a: dict[str, str], b: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {name: (a.get(name, "–"), b.get(name, "–")) for name in dict.fromkeys([*a, *b])}


def _checks(case: Case) -> dict[str, str]:
    words = {True: "passed", False: "failed", None: "not done"}
    return {c.name: words[c.passed] for c in case.bounce.checks} if case.bounce else {}


def _bounce(case: Case) -> str:
    return f"{case.bounce.verdict} ({case.bounce.fix})" if case.bounce else "not run"


def _onset(case: Case) -> str:
    return f"after step {case.onset.low}, by step {case.onset.high}" if case.onset else "not looked for"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
