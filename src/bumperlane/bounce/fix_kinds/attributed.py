"""The training examples in the order of attribution: as the trace heard it, or by one method alone."""

from dataclasses import dataclass

import numpy as np

from ...evidence.memo import subject_key
from ...recipes.identity import recipe_key
from ...trace.data.propose import ProposalSettings, propose
from .contract import Traced


@dataclass(frozen=True)
class Attributed:
    """All examples with a score each, higher for those that the bad outputs rather come from; `by` says whose score."""

    ids: tuple[str, ...]
    scores: np.ndarray
    by: str

    def top(self, k: int) -> tuple[str, ...]:
        """Ids of the k highest, the highest first; equal ones in the recipe's order."""
        return tuple(self.ids[i] for i in np.argsort(-self.scores, kind="stable")[:k])


def no_attribution(traced: Traced) -> str:
    """Why examples cannot be ranked in this case; "" where they can."""
    if not traced.inv.examples:
        return "the run has no training examples that could be ranked."
    if not traced.options.method and not _heard(traced):
        return (
            "the trace heard no attribution method, so no example is ranked above another. Name one with --method, "
            "such as bm25."
        )
    if traced.options.method:
        _ = ProposalSettings((traced.options.method,))  # an unknown name is refused here
    return ""


def attributed(traced: Traced) -> Attributed:
    """Attribution at the onset, with the weights that the trace's traps earned. Kept in the case's memory.

    Raises EvidenceError when the bad outputs cannot be brought about any more.
    """
    inv, heard = traced.inv, _heard(traced)
    subject = inv.subject(traced.case.onset.high if traced.case.onset else None)
    named = (traced.options.method,) if traced.options.method else tuple(heard)
    weights = dict.fromkeys(named, (1.0, "named by the user")) if traced.options.method else heard
    what = {
        "kind": "attributed",
        "subject": subject_key(subject),
        "recipe": recipe_key(inv.run.recipe),
        "voices": sorted((name, weights[name][0]) for name in named),
        "bad": [[i.request.text, b] for i, b in zip(traced.outputs.items, traced.outputs.bad, strict=True)],
    }

    def compute() -> dict[str, np.ndarray]:
        found = propose(inv, traced.meter, [subject], ProposalSettings(named), lambda asked: weights)
        return {"scores": found.fused.scores}

    scores = inv.memo.arrays(what, compute)["scores"]
    by = " + ".join(f"{name} ({weights[name][0]:.2g})" for name in named)
    return Attributed(tuple(e.id for e in inv.examples), scores, f"attribution by {by}")


def _heard(traced: Traced) -> dict[str, tuple[float, str]]:
    """Methods that had weight in the trace."""
    return {m.name: (m.weight, m.why) for m in traced.case.attribution if m.weight > 0}
