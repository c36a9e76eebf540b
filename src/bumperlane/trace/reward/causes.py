"""Which reward? Everything that the logs say about flagged rollouts, joined into one ranked list."""

from dataclasses import dataclass

import numpy as np

from ...errors import SettingError
from ...evidence.holm import holm
from ...evidence.rollout_flags import Flags
from ...evidence.rollout_table import RolloutTable
from ...types import Interval
from .advantage import Rewards, Rule, rewards_of
from .changepoint import ChangePoint, Dating
from .counterfactual import Rescored, rescore
from .divergence import divergences, flagged_onset
from .matching import Matching, match
from .origins import Origin, environments, prompts
from .shared_text import Phrase, shared_phrases
from .shares import Gaps, TermGap, advantage_gaps


@dataclass(frozen=True)
class RewardSettings:
    """How sure to be, and how much to look at.

    Args:
        alpha: chance, over all terms, of naming one where none pays; also of each other test.
        level: of the intervals.
        rule: how the trainer normalises advantages; None takes what the logged advantages say, else "spread".
        permutations: of steps and of prompts, at the most.
        text_pairs: pairs of responses that are read to say what flagged ones share; 0 reads none.
    """

    alpha: float = 0.05
    level: float = 0.95
    rule: Rule | None = None
    permutations: int = 999
    text_pairs: int = 400

    def __post_init__(self) -> None:
        if self.rule not in (None, "spread", "mean"):
            raise SettingError(f"rule must be 'spread', 'mean' or None, got {self.rule!r}.")
        if self.text_pairs < 0:
            raise SettingError(f"text_pairs must be 0 or more, got {self.text_pairs}.")
        Dating(self.level, self.alpha, self.permutations)


@dataclass(frozen=True)
class RewardCause:
    """One reward term, and whether it pays for the behaviour.

    Attributes:
        pays: its part of the advantage gap is positive, its corrected p-value at most alpha, and no part is larger.
        gap: advantage that it gives flagged rollouts over their matched ones.
        share: that over the whole gap; None where the whole gap cannot be told to be above 0.
        counterfactual: mean advantage that the flagged rollouts would have had without it; `rescored` has the rest.
        p_value: two-sided, for the term being alike in flagged and matched rollouts, corrected by Holm's rule.
    """

    term: str
    pays: bool
    gap: Interval
    share: Interval | None
    counterfactual: Interval
    rescored: Rescored
    p_value: float
    why: str


@dataclass(frozen=True)
class Difference:
    """Mean of a check, or of the number of tokens, over flagged rollouts less that over their matched ones."""

    name: str
    value: Interval
    p_value: float


@dataclass(frozen=True)
class RewardTrace:
    """What the logs say about the flagged rollouts.

    Attributes:
        flagged, known, rollouts: how many are flagged, of how many that were looked at, of how many.
        matching: what they were compared with. None where no group with a difference in reward was left.
        whole: advantage of flagged over matched rollouts, all terms together.
        causes: every term, best first.
        onset: when the flagged rate changes.
        parting: changes of terms against checks and each other.
        notes: what a reader must know.
    """

    name: str
    flagged: int
    known: int
    rollouts: int
    matching: Matching | None
    whole: Interval | None
    causes: tuple[RewardCause, ...]
    onset: ChangePoint
    parting: tuple[ChangePoint, ...]
    environments: tuple[Origin, ...]
    prompts: tuple[Origin, ...]
    phrases: tuple[Phrase, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    @property
    def cause(self) -> RewardCause | None:
        """The term that pays; None when no term does."""
        return self.causes[0] if self.causes and self.causes[0].pays else None


def reward_causes(
    table: RolloutTable, flags: Flags, seed: int = 0, settings: RewardSettings | None = None
) -> RewardTrace:
    """Say which reward term pays for the flagged rollouts, when they begin, where they come from, what they share.

    The whole gap in advantage between flagged and matched rollouts is split among the terms (`shares`), each with an
    interval over prompts. The result does not depend on the order of the rows. It is attribution, not proof: a term
    that pays is a suspect until a retrain without it decides.

    Raises EvidenceError when nothing is flagged or too few flagged rollouts can be matched, with the numbers.
    """
    settings = settings or RewardSettings()
    rewards = rewards_of(table, settings.rule)
    matching = match(table, flags, rewards.cells)
    taught = matching.among(~rewards.flat[rewards.cells.of]) if matching.kind == "prompt" else matching
    causes: tuple[RewardCause, ...] = ()
    gaps = None
    if taught is not None:
        gaps = advantage_gaps(rewards, taught, settings.level)
        causes = _causes(rewards, taught, gaps, flags, settings)
    dating = Dating(settings.level, settings.alpha, settings.permutations, seed)
    pairs = settings.text_pairs
    return RewardTrace(
        name=flags.name,
        flagged=int(flags.values.sum()),
        known=int(flags.known.sum()),
        rollouts=len(table),
        matching=taught,
        whole=gaps.whole if gaps else None,
        causes=causes,
        onset=flagged_onset(table, flags, dating),
        parting=divergences(table, dating),
        environments=environments(table, flags, seed, settings.permutations),
        prompts=prompts(table, flags),
        phrases=shared_phrases(table, matching, pairs, settings.alpha, seed) if pairs else (),
        differences=_differences(table, matching, settings.level),
        notes=(*table.notes, *rewards.notes, *_notes(rewards, matching, taught, flags)),
    )


def _causes(
    rewards: Rewards, matching: Matching, gaps: Gaps, flags: Flags, settings: RewardSettings
) -> tuple[RewardCause, ...]:
    corrected = holm([term.p_value for term in gaps.terms])
    largest = max(gaps.terms, key=lambda term: term.gap.value)
    found = []
    for k, (term, p) in enumerate(zip(gaps.terms, corrected, strict=True)):
        rescored = rescore(rewards, matching, k, 0.0, settings.level)
        pays = term is largest and term.gap.low > 0 and p <= settings.alpha
        why = _why(term, pays, p <= settings.alpha, gaps, flags)
        found.append(RewardCause(term.term, pays, term.gap, term.share, rescored.after, rescored, p, why))
    return tuple(sorted(found, key=lambda c: (not c.pays, -c.gap.value, c.term)))


def _why(term: TermGap, pays: bool, sure: bool, gaps: Gaps, flags: Flags) -> str:
    if pays and gaps.whole.low > 0:
        why = "flagged rollouts are preferred to their matched ones, and it pays the largest part of that."
    elif pays:
        why = (
            "it pays for the behaviour, but other terms take as much: flagged rollouts are not preferred on the whole."
        )
    elif sure and term.gap.value > 0:
        why = "it pays a part, another term a larger one."
    elif sure:
        why = "it pays against the behaviour."
    else:
        why = "it pays flagged and matched rollouts alike, as far as can be told."
        if term.gap.high < 0:
            why += " Its small negative part comes from dividing by each group's own spread."
    if term.term in flags.reads:
        why += " The flag itself reads this term, so part of the gap holds by definition."
    return why


def _differences(table: RolloutTable, matching: Matching, level: float) -> tuple[Difference, ...]:
    columns = [(name, table.check_values[:, i]) for i, name in enumerate(table.checks)]
    out = []
    for name, column in [*columns, ("tokens", table.tokens)]:
        among = matching.among(np.isfinite(column))
        if among is not None:
            found = among.differences([np.nan_to_num(column.astype(np.float64))])
            out.append(Difference(name, found.interval(0, level), found.p_value(0)))
    corrected = holm([d.p_value for d in out])
    return tuple(Difference(d.name, d.value, p) for d, p in zip(out, corrected, strict=True))


def _notes(rewards: Rewards, matching: Matching, taught: Matching | None, flags: Flags) -> list[str]:
    notes = []
    flat = int((rewards.flat[rewards.cells.of] & matching.used & matching.flagged).sum())
    if matching.kind == "prompt" and taught is None:
        notes.append("the groups of flagged rollouts have no difference in reward, so no term can pay for anything.")
    elif matching.kind == "prompt" and flat:
        notes.append(f"{flat} matched flagged rollouts are in groups without a difference in reward and were left out.")
    if matching.kind == "environment":
        notes.append(
            f"only {matching.by_prompt} flagged rollouts have an unflagged one of their own prompt and step, so they "
            "are compared within environments: a hard prompt can look like a term that pays."
        )
    if matching.over == "groups":
        notes.append("flagged rollouts come from fewer than 6 prompts; intervals hold for these prompts only.")
    if matching.unmatched:
        notes.append(f"{matching.unmatched} flagged rollouts have nothing to be compared with and were left out.")
    unknown = int((~flags.known).sum())
    if unknown:
        notes.append(f"{unknown} rollouts were not looked at; they are neither flagged nor a match.")
    return notes
