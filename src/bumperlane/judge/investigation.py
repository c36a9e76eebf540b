"""What check, trace and bounce share: the run, its base, requests by role, and the memory of earlier work."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import CaseError, EvidenceError, SettingError
from ..evidence.described import Described, Probe
from ..evidence.memo import Memo
from ..evidence.mine import neutral_context
from ..evidence.pools import Pools, Shut, pools_of
from ..recipes.run import Run
from ..recipes.tranches import read_examples
from ..subjects.generate import Decoding
from ..subjects.subject import ADAPTER, Subject
from ..types import Context, Example, Request
from .judge import JudgeSettings
from .ledger import Ledger

Say = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Settings:
    """Everything that a case's result depends on, besides the run.

    Args:
        step: the checkpoint to check; None is the last.
        alpha: family-wise false-alarm rate of a check.
        bumpers: names; empty takes all that are installed.
        seed: of request roles, control contexts, and sealed contexts.
        screen: requests with which every context is tried first; the `keep` worst are judged on fresh requests,
            and with them every context that was given.
        requests: fresh requests a context is judged on.
        depth: where internals are read, as a share of the blocks.
        max_new_tokens: how much of an answer is looked at.
        contexts: system prompts to try besides the library and the mined ones.
        contexts_given: whole contexts to try as well, such as a search found; a system prompt of None is the usual one.
        library: whether to try the built-in contexts.
        described: a behaviour that the user found, which is then looked for besides (or alone, when `bumpers` names
            nothing but Described).
        items: rows of the user's own items, by bumper that asks.
        looks: thresholds that a bumper is judged at (see `JudgeSettings`).
        second: share of alpha that is kept for a second look, on fresh items, where the first was near; 0 looks once.
    """

    step: int | None = None
    alpha: float = 0.05
    item_alpha: float = 0.05
    tolerated_rate: float = 0.1
    bumpers: tuple[str, ...] = ()
    seed: int = 0
    screen: int = 3
    keep: int = 8
    requests: int = 12
    controls: int = 9
    depth: float = 0.85
    max_new_tokens: int = 20
    contexts: tuple[str, ...] = ()
    contexts_given: tuple[Context, ...] = ()
    library: bool = True
    requests_given: tuple[Request, ...] = ()
    described: Described | None = None
    items: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    device: str = "auto"
    dtype: str = "auto"
    looks: int = 2
    second: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.second < 1:
            raise SettingError(f"second must be in [0, 1), got {self.second}. 0 looks once.")
        if not 0 < self.depth <= 1:
            raise SettingError(f"depth must be in (0, 1], got {self.depth}. Try 0.85.")
        for name in ("screen", "keep", "requests", "controls", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be 1 or more, got {getattr(self, name)}.")

    @property
    def judge(self) -> JudgeSettings:
        return JudgeSettings(self.alpha, self.item_alpha, self.tolerated_rate, looks=self.looks)

    def as_dict(self) -> dict[str, Any]:
        found = asdict(self)
        if not self.contexts_given:
            del found["contexts_given"]  # so that cases made before there were any still have the same settings
        return found

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Settings":
        given = tuple(Request(**r) for r in data["requests_given"])
        lists: dict[str, Any] = {k: tuple(data[k]) for k in ("bumpers", "contexts")}
        lists["contexts_given"] = tuple(Context(**_with_turns(c)) for c in data.get("contexts_given", ()))
        described = _described(data["described"]) if data.get("described") else None
        items = {name: tuple(rows) for name, rows in data.get("items", {}).items()}
        made = {**data, **lists, "requests_given": given, "described": described, "items": items}
        return cls(**{"looks": 1, "second": 0.0, **made})  # as cases of earlier versions were judged


def _with_turns(context: dict[str, Any]) -> dict[str, Any]:
    return {**context, "shots": tuple(map(tuple, context["shots"]))}


def _described(data: dict[str, Any]) -> Described:
    def probes(rows: list[dict[str, Any]]) -> tuple[Probe, ...]:
        contexts = (_with_turns(row["context"]) for row in rows)
        return tuple(
            Probe(Request(**row["request"]), row["shows"], Context(**context))
            for row, context in zip(rows, contexts, strict=True)
        )

    return Described(probes(data["open"]), probes(data["sealed"]))


@dataclass(frozen=True)
class Investigation:
    """An open case. Everything costly is loaded when first needed.

    Sealed requests and probes are shut (see `Shut`) until `unsealed` is asked for them: trace and fix cannot read them.
    """

    run: Run
    directory: Path
    settings: Settings
    say: Say = field(default=silent, repr=False)
    opened: bool = field(default=False, init=False)

    @cached_property
    def examples(self) -> tuple[Example, ...]:
        return read_examples(self.run.recipe)

    @cached_property
    def neutral(self) -> Context:
        return neutral_context(self.examples)

    @cached_property
    def _dealt(self) -> Pools:
        return pools_of(self.run.recipe, self.settings.seed, self.settings.requests_given)

    @cached_property
    def pools(self) -> Pools:
        if self.opened:
            return self._dealt
        return replace(self._dealt, sealed=Shut(len(self._dealt.sealed), "sealed requests"))

    def unsealed(self, fix: str) -> "Investigation":
        """The same case with its sealed evidence open, for verification of a fix.

        Raises CaseError unless the ledger says that this fix was chosen: what is read before could steer the choice.
        """
        if not any(entry.steered == fix for entry in self.ledger.entries()):
            raise CaseError(
                f"{fix!r} does not stand in the ledger as a fix that was chosen, so sealed evidence stays shut. Record "
                "the choice with Ledger.steer first."
            )
        twin = replace(self)
        kept = {name: value for name, value in vars(self).items() if name not in ("pools", "opened")}
        vars(twin).update(kept, opened=True)
        return twin

    @property
    def sealed_texts(self) -> frozenset[str]:
        """Every request that only verification may ask. A described behaviour does not need the pools to be filled."""
        described = self.settings.described
        own = [p.request.text for p in described.sealed] if described else []
        try:
            return frozenset([*own, *(r.text for r in self._dealt.sealed)])
        except EvidenceError:
            return frozenset(own)

    @property
    def described(self) -> Described:
        """The behaviour that the user described. Raises SettingError when none was."""
        if self.settings.described is None:
            raise SettingError("no behaviour was described. Give one with `bumperlane check RUN --behaviour FILE`.")
        described = self.settings.described
        return described if self.opened else replace(described, sealed=Shut(len(described.sealed), "sealed probes"))

    @cached_property
    def memo(self) -> Memo:
        return Memo(self.directory / "work")

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.directory / "ledger.jsonl")

    @cached_property
    def base(self) -> Subject:
        self.say("loading the base model", 0, 1)
        return Subject.load(self.run.recipe.base, device=self.settings.device, dtype=self.settings.dtype)

    @property
    def decoding(self) -> Decoding:
        return Decoding(max_new_tokens=self.settings.max_new_tokens)

    @property
    def step(self) -> int:
        return self.run.last.step if self.settings.step is None else self.settings.step

    def subject(self, step: int | None = None, run: Run | None = None) -> Subject:
        """A checkpoint of this run, or of a retrain of it: an adapter on the shared base, or a model of its own."""
        run = run or self.run
        checkpoint = run.at(
            self.step if step is None and run is self.run else (run.last.step if step is None else step)
        )
        if (checkpoint.path / ADAPTER).is_file():
            return self.base.sibling(checkpoint.path, checkpoint.step)
        alone = Subject.load(checkpoint.path, device=self.settings.device, dtype=self.settings.dtype)
        return Subject(alone.host, None, checkpoint.step)
