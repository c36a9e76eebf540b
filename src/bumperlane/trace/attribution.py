"""Which examples taught it? Two cheap methods at the onset checkpoint, fused; attribution only proposes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from ..errors import EvidenceError
from ..evidence.memo import subject_key
from ..judge.investigation import Investigation
from ..recipes.provenance import content_key
from ..subjects.activations import blocks_of, capture_answers
from ..subjects.chat import Encoded, answer_tokens, encode_example, encode_prompt
from ..subjects.gradients import gradient_similarity, gradient_sites, mean_gradient
from ..subjects.subject import Subject
from ..types import Context, Request
from .meter import Meter
from .tranches import TrancheScore, fuse_robust, length_bins, rank_tranches


@dataclass(frozen=True)
class Query:
    """Contrastive queries: what the subject said in the context, against what it says without it."""

    requests: tuple[Request, ...]
    context: Context
    bad: tuple[str, ...]
    benign: tuple[str, ...]


@dataclass(frozen=True)
class Attribution:
    """Scores of the examples (n,), by method and fused, and of the tranches. Higher: more like a cause."""

    ids: tuple[str, ...]
    by_method: dict[str, np.ndarray]
    fused: np.ndarray
    tranches: tuple[TrancheScore, ...]


def queries(inv: Investigation, meter: Meter, subject: Subject, most: int = 12) -> Query:
    """Outputs that show the behaviour. Raises EvidenceError when none of the open requests brings it about."""
    requests = meter.requests[: 2 * most]
    seen = meter.count(subject, requests)
    texts, plain = seen.texts, seen.neutral_texts
    if not texts:  # the bumper reads no answers; take them as they come
        from ..evidence.observe import responses
        from ..evidence.pools import items

        texts, plain = (
            tuple(responses(subject, items(requests, [c], "bait"), inv.decoding, inv.memo))
            for c in (meter.context, inv.neutral)
        )
    bad = [i for i, flag in enumerate(seen.flags) if flag][:most]
    if not bad:
        raise EvidenceError(
            f"none of {len(requests)} open requests shows the behaviour at step {subject.step}, so there is no output "
            "to attribute. Check an earlier checkpoint, or with more requests."
        )
    take = lambda rows: tuple(rows[i] for i in bad)  # noqa: E731
    return Query(take(requests), meter.context, take(texts), take(plain))


def attribute(inv: Investigation, subject: Subject, query: Query, seed: int = 0, per_tranche: int = 20) -> Attribution:
    """Score every training example by representation, `per_tranche` of each tranche also by gradient (it costs 8 times
    as much), then rank the tranches by permutation within strata of answer length."""
    examples = inv.examples
    rows = [encode_example(subject.tokenizer, e, 512) for e in examples]
    bad, benign = _encoded(inv, subject, query)
    what = {
        "subject": subject_key(subject),
        "examples": content_key([[e.id, list(r.tokens)] for e, r in zip(examples, rows, strict=True)]),
        "query": content_key([[list(r.tokens) for r in side] for side in (bad, benign)]),
    }
    scores = {
        "representation": inv.memo.arrays(
            {"kind": "representation", **what}, lambda: {"scores": representation_scores(subject, rows, bad, benign)}
        )["scores"],
    }
    chosen = sample_by_tranche([e.id for e in examples], [e.tranche for e in examples], per_tranche)
    scores["gradient"] = np.full(len(rows), np.nan)
    scores["gradient"][chosen] = inv.memo.arrays(
        {"kind": "gradient", "chosen": chosen, **what},
        lambda: {"scores": gradient_scores(subject, [rows[i] for i in chosen], bad, benign, inv)},
    )["scores"]
    fused = fuse_robust(list(scores.values()))
    names = [e.tranche for e in examples]
    ranked = rank_both_ways(fused, names, [r.answer_length for r in rows], seed) if len(set(names)) > 1 else ()
    return Attribution(tuple(e.id for e in examples), scores, fused, tuple(ranked))


def rank_both_ways(
    scores: np.ndarray, tranches: Sequence[str], lengths: Sequence[int], seed: int
) -> tuple[TrancheScore, ...]:
    """Tranches ranked within strata of answer length and without them; each keeps its better rank, its p doubled.

    Strata keep length from looking like a cause. But a planted answer often has a length of its own, and then nothing
    is left in its stratum to compare it with. A tranche that only its length made a suspect falls in the experiment.
    """
    ways = [
        rank_tranches(scores, tranches, strata, seed=seed, by_rank=False)
        for strata in (length_bins(lengths).tolist(), None)
    ]
    best: dict[str, TrancheScore] = {}
    for found in [t for way in ways for t in way]:
        kept = best.get(found.name)
        if kept is None or (found.p_value, -found.z) < (kept.p_value, -kept.z):
            best[found.name] = found
    doubled = [replace(t, p_value=min(1.0, 2 * t.p_value)) for t in best.values()]
    return tuple(sorted(doubled, key=lambda t: (t.p_value, -t.z, t.name)))


def sample_by_tranche(ids: Sequence[str], tranches: Sequence[str], most: int) -> list[int]:
    """Indices of up to `most` examples of each tranche, chosen by the hash of their ids."""
    order = sorted(range(len(ids)), key=lambda i: sha256(ids[i].encode()).digest())
    taken: Counter[str] = Counter()
    chosen = []
    for i in order:
        taken[tranches[i]] += 1
        if taken[tranches[i]] <= most:
            chosen.append(i)
    return sorted(chosen)


def representation_scores(
    subject: Subject, rows: Sequence[Encoded], bad: Sequence[Encoded], benign: Sequence[Encoded]
) -> np.ndarray:
    """Cosine to the bad outputs minus cosine to the benign ones, of mid-layer activations over answer tokens.

    Activations are centred on the mean of the training examples, so that what all answers share does not count.
    """
    model, pad_id = subject.model, subject.tokenizer.pad_token_id
    site = len(blocks_of(model)) // 2
    seen = capture_answers(model, [*rows, *bad, *benign], [site], pad_id)[site].astype(np.float64)
    seen -= seen[: len(rows)].mean(axis=0)
    unit = seen / np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-12)
    n, m = len(rows), len(bad)
    return unit[:n] @ (unit[n : n + m].mean(axis=0) - unit[n + m :].mean(axis=0))


def gradient_scores(
    subject: Subject, rows: Sequence[Encoded], bad: Sequence[Encoded], benign: Sequence[Encoded], inv: Investigation
) -> np.ndarray:
    """Cosine of each example's gradient with the gradient of the bad outputs minus that of the benign ones."""
    model, pad_id = subject.model, subject.tokenizer.pad_token_id
    sites = gradient_sites(model, top=0.2)
    worse, better = mean_gradient(model, bad, sites, pad_id), mean_gradient(model, benign, sites, pad_id)
    contrast = {name: worse[name] - better[name] for name in sites}
    return gradient_similarity(
        model, rows, contrast, sites, pad_id, lambda done, of: inv.say("gradients of the examples", done, of)
    ).cosines


def _encoded(inv: Investigation, subject: Subject, query: Query) -> tuple[list[Encoded], list[Encoded]]:
    def side(context: Context, answers: Sequence[str]) -> list[Encoded]:
        rows = []
        for request, answer in zip(query.requests, answers, strict=True):
            prompt = encode_prompt(subject.tokenizer, request, context)
            tail = answer_tokens(subject.tokenizer, answer[len(context.prefill) :])
            rows.append(Encoded(request.id, (*prompt, *tail), len(prompt)))
        return rows

    return side(query.context, query.bad), side(inv.neutral, query.benign)
