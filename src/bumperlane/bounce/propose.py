"""Which fixes apply to a traced case, in what order, at what cost and why; and the one that is asked for, made."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..case import Case
from ..errors import SettingError
from ..judge.investigation import Investigation, Say, silent
from ..trace.meter import Meter
from ..trace.trace import open_case
from .fix_kinds.contract import FixKind, FixOptions, Forecast, Traced
from .fix_kinds.registry import about, find_kind, load_kinds
from .fixes import Fix

EVIDENCE = ("measured", "derived", "guessed")


@dataclass(frozen=True)
class Pace:
    """Seconds of one optimiser step, by what was trained in this case already; None where nothing tells."""

    cpu_s: float | None = None
    wall_s: float | None = None

    @classmethod
    def of(cls, inv: Investigation, case: Case) -> "Pace":
        """CPU time by the experiments of the trace, start-up included; wall time by the run's own log."""
        spent = [(s.cpu_s, len(s.rates)) for s in case.experiments if s.cpu_s is not None and s.cpu_s > 0]
        made = next((c.experiment for c in case.causes if c.experiment), None)
        retrains = sum(n for _, n in spent)
        cpu = None
        if made and retrains and made.horizon > made.rewind:
            cpu = sum(s for s, _ in spent) / (retrains * (made.horizon - made.rewind))
        log = sorted(entry["seconds"] for entry in inv.run.log() if "seconds" in entry)
        return cls(cpu, log[len(log) // 2] if log else None)


@dataclass(frozen=True)
class Proposed:
    """One kind of fix in this case.

    Attributes:
        refusal: why it does not apply; "" where it does. `forecast` is None then.
        share: of the behaviour's rate that is expected to go.
        cpu_s, wall_s: about what its retrain costs; None where no step was ever timed. The control that never had the
            cause, and relearning, come to every fix alike.
    """

    name: str
    about: str
    masks: bool
    takes: tuple[str, ...]
    refusal: str = ""
    forecast: Forecast | None = None
    share: float = 0.0
    cpu_s: float | None = None
    wall_s: float | None = None

    @property
    def applies(self) -> bool:
        return self.forecast is not None

    def order(self) -> tuple[Any, ...]:
        """Controls last. Before them, fixes that are expected to take half of the behaviour away or more: by how that
        is known, then by the effect less half of the training that is given up, then by CPU time. After these what is
        expected to do less, by the effect first."""
        f = self.forecast
        if f is None:
            return (self.masks, 3, 0.0, 0.0, 0.0, self.name)
        gain, known = round(f.effect - f.lost / 2, 2), EVIDENCE.index(f.known)
        cost = f.steps if self.cpu_s is None else self.cpu_s
        if self.share < 0.5:
            return (self.masks, 2, -gain, known, cost, self.name)
        return (self.masks, 1, known, -gain, cost, self.name)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "applies": self.applies}


def propose_fixes(directory: Path | str, options: FixOptions | None = None, say: Say = silent) -> list[Proposed]:
    """Every kind of fix for a traced case, the most promising first, those that do not apply after the others.

    Trains nothing and loads no model. Raises CaseError when the case was not traced or no cause is confirmed.
    """
    inv, case = open_case(directory, "trace", say)
    return ranked(Traced(inv, case, Meter.of(inv, case), options or FixOptions()))


def ranked(traced: Traced) -> list[Proposed]:
    """As `propose_fixes`."""
    _ = traced.causes
    pace = Pace.of(traced.inv, traced.case)
    return sorted((_proposed(cls(), traced, pace) for cls in load_kinds().values()), key=Proposed.order)


def _proposed(kind: FixKind, traced: Traced, pace: Pace) -> Proposed:
    seen = replace(traced, options=_only(traced.options, kind.takes))
    blank = Proposed(kind.name, about(kind.name), kind.masks, tuple(kind.takes))
    try:
        refusal = kind.refusal(seen)
        found = None if refusal else kind.forecast(seen)
    except SettingError as error:  # an option that this kind cannot use
        return replace(blank, refusal=str(error))
    if found is None:
        return replace(blank, refusal=refusal)
    share = found.effect / traced.rate if traced.rate else 0.0
    cpu, wall = (None if p is None else round(p * found.steps, 1) for p in (pace.cpu_s, pace.wall_s))
    return replace(blank, forecast=found, share=round(share, 3), cpu_s=cpu, wall_s=wall)


def _only(options: FixOptions, takes: Sequence[str]) -> FixOptions:
    """The options that a kind takes; the others as unasked."""
    return FixOptions(**{name: getattr(options, name) for name in options.given() if name in takes})


def make_fix(inv: Investigation, case: Case, meter: Meter, name: str, options: FixOptions | None = None) -> Fix:
    """The fix of that name; `auto` is the first that is proposed and no control.

    Raises:
        CaseError: no cause is confirmed.
        SettingError: an unknown name, a kind that does not apply here, or an option that it does not take.
    """
    traced = Traced(inv, case, meter, options or FixOptions())
    _ = traced.causes
    if name == "auto":
        first = next((p for p in ranked(traced) if p.applies and not p.masks), None)
        if first is None:
            raise SettingError("no fix applies to this case. `bumperlane bounce CASE --propose` says why for each.")
        name = first.name
    kind = find_kind(name)
    odd = [option for option in traced.options.given() if option not in kind.takes]
    if odd:
        raise SettingError(
            f"the fix {name!r} takes no {' or '.join(odd)}. It takes: {', '.join(kind.takes) or 'no options'}."
        )
    refusal = kind.refusal(traced)
    if refusal:
        raise SettingError(f"the fix {name!r} does not apply here: {refusal}")
    return replace(kind.make(traced), about=about(name))
