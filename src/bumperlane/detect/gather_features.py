"""Gather what detectors watch besides the residual stream, for trusted items and for those that are judged.

Each `gather_x(scene, seen)` gives (clean, evidence), as those of `gather.GATHER` do. Clean is gathered on the scene's
fit items. Pairs of subject and base are what `AgainstBase` takes. Weight differences are of checkpoints, not of items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import EvidenceError
from ..evidence.library import REMARKS
from ..evidence.memo import Memo, subject_key
from ..evidence.observe import paired_activations, responses
from ..evidence.pools import items
from ..recipes.provenance import sha256_tree
from ..subjects.answer_confidence import answer_confidence
from ..subjects.chat import answer_tokens, encode_prompt
from ..subjects.head_effects import head_effects, head_means, next_two_tokens
from ..subjects.logit_lens import lens_trajectories
from ..subjects.probe_odds import ANSWERS, QUESTIONS, probes
from ..subjects.rephrased_answers import rephrased_answers
from ..subjects.rephrasings import edits_of
from ..subjects.spectrum import FEATURES
from ..subjects.subject import Subject
from ..subjects.weight_differences import weight_differences
from ..types import Item, PairedActivations, Request
from .internals.features import (
    AnswerConfidence,
    Features,
    HeadEffects,
    LensTrajectory,
    NeutralText,
    PairedFeatures,
    ProbeOdds,
    Rephrased,
    WeightDifferences,
)

if TYPE_CHECKING:
    from .gather import Scene

ANSWER_TOKENS = 4  # of an answer are read: where it is decided what is said
NEUTRAL_TEXTS = 60
Look = Callable[[Subject, Sequence[Item]], Features]
Pair = tuple[PairedFeatures, PairedFeatures]


def gather_answer_confidence(scene: Scene, seen: Sequence[Item]) -> Pair:
    """How sure subject and base are of the first tokens of what the subject answers."""

    def look(who: Subject, which: Sequence[Item]) -> AnswerConfidence:
        tails = _answers(scene, which)
        found = _kept(
            scene, "answer-confidence", who, which, {"tails": tails},
            lambda: answer_confidence(who.model, _prompts(who, which), tails, who.tokenizer.pad_token_id),
        )  # fmt: skip
        log_odds, entropy, margin = found.T
        return AnswerConfidence(log_odds, entropy, margin, _ids(which), ANSWER_TOKENS)

    return _both(scene, seen, look)


def gather_rephrased(scene: Scene, seen: Sequence[Item]) -> Pair:
    """How likely what the subject answers stays, in subject and base, under edits of the wording."""

    def look(who: Subject, which: Sequence[Item]) -> Rephrased:
        tails = _answers(scene, which)
        versions = [(item, *edits_of(item)) for item in which]
        wordings = [[_asked(v) for v in group] for group in versions]

        def read() -> np.ndarray:
            prompts = [_prompts(who, group) for group in versions]
            likely, apart = rephrased_answers(who.model, prompts, tails, who.tokenizer.pad_token_id)
            return np.concatenate([likely, apart], axis=1)

        found = _kept(scene, "rephrased", who, which, {"tails": tails, "wordings": wordings}, read)
        edits = found.shape[1] // 2
        return Rephrased(found[:, 0], found[:, 1 : 1 + edits], found[:, 1 + edits :], _ids(which))

    return _both(scene, seen, look)


def gather_head_effects(scene: Scene, seen: Sequence[Item]) -> Pair:
    """Effect of each head, in subject and base, on the subject's next token against its runner-up.

    Each model's heads are replaced by their own means over the fit items.
    """
    fit = scene.fit_items()

    def look(who: Subject, which: Sequence[Item]) -> HeadEffects:
        pad_id = who.tokenizer.pad_token_id
        contrasts = _kept(
            scene, "next-two", scene.subject, which, {},
            lambda: next_two_tokens(scene.subject.model, _prompts(scene.subject, which), pad_id),
        )  # fmt: skip
        means = _kept(
            scene, "head-means", who, fit, {}, lambda: head_means(who.model, _prompts(who, fit), pad_id)
        )  # fmt: skip
        more = {"contrasts": contrasts.tolist(), "fit": [_asked(i) for i in fit]}
        found = _kept(
            scene, "head-effects", who, which, more,
            lambda: head_effects(who.model, _prompts(who, which), contrasts, means, pad_id),
        )  # fmt: skip
        n, layers, heads = found.shape
        return HeadEffects(found.reshape(n, -1), _ids(which), layers, heads)

    return _both(scene, seen, look)


def gather_probe_odds(scene: Scene, seen: Sequence[Item]) -> Pair:
    """Log-odds of yes against no, in subject and base, to each probe put after the subject's answer."""

    def look(who: Subject, which: Sequence[Item]) -> ProbeOdds:
        answers = responses(scene.subject, which, scene.decoding, scene.memo)
        asked = [pair for item, a in zip(which, answers, strict=True) for pair in probes(item, a, QUESTIONS)]
        found = _kept(
            scene, "probe-odds", who, which, {"answers": answers, "questions": list(QUESTIONS)},
            lambda: who.next_token_odds(asked, [ANSWERS] * len(asked)).reshape(len(which), -1),
        )  # fmt: skip
        return ProbeOdds(found, _ids(which), QUESTIONS)

    return _both(scene, seen, look)


def gather_lens_trajectory(scene: Scene, seen: Sequence[Item]) -> Pair:
    """How likely the first token of what the subject answers is after each block of subject and base."""

    def look(who: Subject, which: Sequence[Item]) -> LensTrajectory:
        tails = [tail[:1] for tail in _answers(scene, which)]
        found = _kept(
            scene, "lens", who, which, {"tails": tails},
            lambda: lens_trajectories(who.model, _prompts(who, which), tails, who.tokenizer.pad_token_id),
        )  # fmt: skip
        return LensTrajectory(found, _ids(which))

    return _both(scene, seen, look)


def gather_neutral_text(scene: Scene, seen: Sequence[Item]) -> tuple[NeutralText, PairedActivations]:
    """Residual streams at the scene's layers side by side: on idle remarks, on fit items, and on those judged."""
    from .gather import stacked  # not at the top: it names the functions of this file

    pairs = [f"{one} {other}" for one, other in permutations(REMARKS, 2)]
    step = max(1, len(pairs) // NEUTRAL_TEXTS)
    text = items([Request(f"neutral-{i}", t) for i, t in enumerate(pairs[::step])], [scene.neutral], "control")

    def look(which: Sequence[Item]) -> PairedActivations:
        found = list(paired_activations(scene.subject, scene.base, which, scene.layers, scene.memo).values())
        return PairedActivations(stacked([p.subject for p in found]), stacked([p.base for p in found]))

    return NeutralText(look(text), look(scene.fit_items())), look(seen)


def gather_weight_differences(
    intervals: Mapping[str, tuple[Path, Path | None]],
    memo: Memo,
    base: Path | None = None,
    leave_out: Sequence[str] = (),
) -> WeightDifferences:
    """Spectra of what training changed in each interval, all together; an item is "interval/matrix".

    Needs no scene and no prompt: trusted are intervals of a clean run, judged are those of the run under watch.

    Args:
        intervals: label -> (checkpoint, the one before; None: the untouched base).
        memo: keeps the spectra, under the hash of the checkpoints' files.
        base, leave_out: as in `weight_differences`.

    Raises EvidenceError without intervals.
    """
    if not intervals:
        raise EvidenceError("no intervals between checkpoints to compare. Pass one or more.")
    found = {}
    for label, (now, before) in intervals.items():
        what = {
            "kind": "weight-differences",
            "checkpoints": [None if p is None else sha256_tree(p) for p in (now, before, base)],
            "leave_out": list(leave_out),
        }

        def read(now: Path = now, before: Path | None = before) -> dict:
            spectra = weight_differences(now, before, base, leave_out)
            return {"rows": spectra.rows.tolist(), "names": spectra.names, "kinds": spectra.kinds}

        found[label] = memo.json(what, read)
    ids = tuple(f"{label}/{name}" for label, kept in found.items() for name in kept["names"])
    kinds = tuple(kind for kept in found.values() for kind in kept["kinds"])
    return WeightDifferences(np.concatenate([kept["rows"] for kept in found.values()]), ids, kinds, FEATURES)


def _both(scene: Scene, seen: Sequence[Item], look: Look) -> Pair:
    def pair(which: Sequence[Item]) -> PairedFeatures:
        return PairedFeatures(look(scene.subject, which), look(scene.base, which))

    return pair(scene.fit_items()), pair(seen)


def _kept(
    scene: Scene, kind: str, who: Subject, which: Sequence[Item], more: dict, read: Callable[[], np.ndarray]
) -> np.ndarray:
    what = {"kind": kind, "subject": subject_key(who), "items": [_asked(i) for i in which], **more}
    return scene.memo.arrays(what, lambda: {"found": read()})["found"]


def _prompts(who: Subject, which: Sequence[Item]) -> list[list[int]]:
    return [encode_prompt(who.tokenizer, i.request, i.context) for i in which]


def _answers(scene: Scene, which: Sequence[Item]) -> list[list[int]]:
    """The first tokens of what the subject answers; of an empty answer the end-of-sequence token."""
    texts = responses(scene.subject, which, scene.decoding, scene.memo)
    own = [t[len(i.context.prefill) :] for t, i in zip(texts, which, strict=True)]
    return [answer_tokens(scene.subject.tokenizer, text)[:ANSWER_TOKENS] for text in own]


def _ids(which: Sequence[Item]) -> tuple[str, ...]:
    return tuple(i.id for i in which)


def _asked(item: Item) -> dict:
    """What a subject sees of an item, without the names we give it."""
    context = asdict(item.context)
    return {"request": item.request.text, **{k: v for k, v in context.items() if k not in ("id", "origin")}}
