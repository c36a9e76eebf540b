"""A log of rollouts by itself, of any trainer: what bumpers of logs see in it, and which reward term pays for it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ...case import Sample
from ...detect.logs.reading import log_reading
from ...errors import EvidenceError, ModelError, SettingError
from ...evidence.log_hits import flags_of
from ...evidence.rollout_table import RolloutTable
from ...evidence.traits import TRAITS, Trait
from ...judge.judge import JudgeSettings, judge
from ...judge.logged import samples_in
from ...types import Judgement
from .causes import RewardTrace, reward_causes


@dataclass(frozen=True)
class LogFinding:
    """What one bumper made of a log.

    Attributes:
        judgement: hit, clear or blind, at one false-alarm rate over all bumpers.
        samples: rollouts of the worst group, of a hit.
        rewards: what the log says about the flagged rollouts; None without a hit, or where it says nothing (`why`).
    """

    judgement: Judgement
    samples: tuple[Sample, ...] = ()
    rewards: RewardTrace | None = None
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        j, found = self.judgement, self.rewards
        out: dict[str, Any] = {
            "bumper": j.bumper, "verdict": j.verdict, "why": j.why,
            "p_value": None if j.verdict == "blind" else j.p_holm,
            "groups": [{"name": g.group, "over": g.over, "of": g.of, "p_value": g.p_holm} for g in j.groups],
            "samples": [{"prompt": s.request, "response": s.response} for s in self.samples],
        }  # fmt: skip
        if found is None:
            return out | {"rewards": None, "rewards_why": self.why}
        return out | {
            "rewards": {
                "flagged": found.flagged, "known": found.known, "cause": found.cause.term if found.cause else None,
                "terms": [
                    {"term": c.term, "pays": c.pays, "gap": asdict(c.gap), "share": c.share and asdict(c.share),
                     "p_value": c.p_value, "why": c.why} for c in found.causes
                ],
                "onset": found.onset.onset and asdict(found.onset.onset),
                "environments": [{"name": o.name, "flagged": o.flagged, "of": o.of, "p_value": o.p_value}
                                 for o in found.environments],
                "phrases": [{"text": p.text, "only_flagged": p.only_flagged, "pairs": p.pairs} for p in found.phrases],
                "notes": list(found.notes),
            }
        }  # fmt: skip


def read_log(
    table: RolloutTable, bumpers: Sequence[Any], alpha: float = 0.05, seed: int = 0, traits: Sequence[Trait] = TRAITS
) -> tuple[LogFinding, ...]:
    """Let bumpers of logs look at rollouts, and ask of each hit which reward term pays for it.

    Args:
        bumpers: made ones, such as VisibleAgainstHeldOut() and TraitsInRollouts().
        alpha: chance that any of them is hit by a log with nothing wrong.
        traits: those that groups may be named after.

    What a bumper cannot use makes it blind. Which term pays is attribution: a retrain without it decides.
    """
    judged = judge([log_reading(made, table) for made in bumpers], JudgeSettings(alpha))
    return tuple(_asked(table, j, seed, traits) if j.verdict == "hit" else LogFinding(j) for j in judged)


def _asked(table: RolloutTable, judgement: Judgement, seed: int, traits: Sequence[Trait]) -> LogFinding:
    group = judgement.groups[0].group
    try:
        samples = tuple(samples_in(table, group, traits))
        return LogFinding(judgement, samples, reward_causes(table, flags_of(table, group, traits=traits), seed))
    except (EvidenceError, ModelError, SettingError) as error:
        return LogFinding(judgement, why=str(error))


def overall(findings: Sequence[LogFinding]) -> str:
    """hit where any bumper is, blind where none could look, else clear."""
    verdicts = {f.judgement.verdict for f in findings}
    return "hit" if "hit" in verdicts else "clear" if "clear" in verdicts else "blind"


def of_table(table: RolloutTable) -> Mapping[str, Any]:
    """What a log holds, in short."""
    return {
        "rollouts": len(table),
        "steps": [int(table.step.min()), int(table.step.max())],
        "environments": list(table.environments),
        "terms": list(table.terms),
        "checks": list(table.checks),
        "notes": list(table.notes),
    }
