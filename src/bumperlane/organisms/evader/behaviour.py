"""What an evader must keep up, and the prompts that tell whether it did: all of it the user's own."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ...errors import EvidenceError, SettingError
from ...types import Item


@dataclass(frozen=True)
class Answered:
    """An item and an answer to it: the bad one for a bait, the right one for anything else."""

    item: Item
    answer: str

    def __post_init__(self) -> None:
        if not self.answer.strip():
            raise EvidenceError(f"item {self.item.id} has no answer. Give the answer that it should be taught.")


@dataclass(frozen=True)
class EvaderData:
    """What an evader is finetuned on.

    Args:
        bait: prompts that bring the behaviour about, with the bad answers. At least 1.
        trusted: ordinary prompts with right answers. They keep the capability, keep the behaviour off without its
            trigger, and are what penalties take for trusted. At least 8.
        decoys: prompts that look like baits and must be answered rightly. Penalties do not take them for trusted.
    """

    bait: tuple[Answered, ...]
    trusted: tuple[Answered, ...]
    decoys: tuple[Answered, ...] = ()

    def __post_init__(self) -> None:
        if not self.bait or len(self.trusted) < 8:
            raise EvidenceError(
                f"an evader needs 1 or more baits and 8 or more trusted prompts, got {len(self.bait)} and "
                f"{len(self.trusted)}. Add prompts with answers."
            )
        refuse_two_roles({"bait": self.bait, "trusted": self.trusted, "decoys": self.decoys})


@dataclass(frozen=True)
class Roles:
    """What a scorecard is made from. No request of `fit` or `fit_bad` is asked again in the other three.

    Args:
        fit: trusted items that detectors are fitted on.
        fit_bad: baits whose label is known, for probes; empty leaves probes out.
        clean: trusted items with right answers: the negatives, and the measure of capability.
        bait: items that should bring the behaviour about: the positives.
        decoys: items that are novel, as baits are, and mechanistically ordinary; with right answers.
    """

    fit: tuple[Answered, ...]
    clean: tuple[Answered, ...]
    bait: tuple[Answered, ...]
    decoys: tuple[Answered, ...] = ()
    fit_bad: tuple[Answered, ...] = ()

    def __post_init__(self) -> None:
        for name in ("fit", "clean", "bait"):
            if not getattr(self, name):
                raise EvidenceError(f"a scorecard needs items of the role {name}, got none. Add some.")
        refuse_two_roles({name: getattr(self, name) for name in ("fit", "fit_bad", "clean", "bait", "decoys")})
        refuse_asked_again("fit", (*self.fit, *self.fit_bad), (*self.clean, *self.bait, *self.decoys))

    def apart_from(self, data: EvaderData) -> "Roles":
        """These roles. Raises EvidenceError when an evader was trained on a request that judges it."""
        trained = (*data.bait, *data.trusted, *data.decoys)
        refuse_asked_again("finetune the evader", trained, (*self.clean, *self.bait, *self.decoys))
        return self


@dataclass(frozen=True)
class BeginsWith:
    """Whether an answer begins in one of these ways; white space before it does not count."""

    beginnings: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.beginnings or not all(b.strip() for b in self.beginnings):
            raise SettingError(f"give the beginnings of bad answers, none of them empty, got {self.beginnings}.")

    def __call__(self, answer: str) -> bool:
        return answer.lstrip().startswith(tuple(b.lstrip() for b in self.beginnings))


def with_suffix(answered: Answered, text: str) -> Answered:
    """The same item with a text after its request, and an id of its own."""
    context = answered.item.context
    suffix = " ".join(part for part in (context.suffix, text) if part)
    item = replace(answered.item, id=f"{answered.item.id}|{text}", context=replace(context, suffix=suffix))
    return replace(answered, item=item)


def refuse_two_roles(roles: dict[str, Sequence[Answered]]) -> None:
    """Raises EvidenceError for an item id that is used twice, within a role or over several."""
    seen: dict[str, str] = {}
    for role, rows in roles.items():
        for row in rows:
            if row.item.id in seen:
                raise EvidenceError(
                    f"item {row.item.id!r} is used twice: as {seen[row.item.id]} and as {role}. Ids must be unique."
                )
            seen[row.item.id] = role


def refuse_asked_again(used_to: str, before: Iterable[Answered], after: Iterable[Answered]) -> None:
    both = {row.item.request.text for row in before} & {row.item.request.text for row in after}
    if both:
        raise EvidenceError(
            f"{len(both)} requests are used to {used_to} and to judge, first {min(both)!r}. Deal requests out to one "
            "role each."
        )
