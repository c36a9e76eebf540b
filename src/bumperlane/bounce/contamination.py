"""How much of what bumpers ask reached the data of a fix: measured, not declared.

A fix that trains on a bumper's prompts makes that bumper quiet and proves nothing. Whoever made the fix may not know:
prompts are copied, reworded, taken from the same benchmark. So every prompt is looked for in what the fix adds.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..case import Case, PromptsInData
from ..detect.asking import asks_of
from ..detect.contract import find_bumper
from ..errors import EvidenceError, RecipeError
from ..evidence.described import NAME
from ..evidence.graded import LEAST_ASKED, graded
from ..judge.asked import sources_of
from ..judge.investigation import Investigation
from ..recipes.models import Recipe
from ..recipes.tranches import read_examples
from ..types import ROLLOUTS, Answers, Context, Example, Request

SEALED = "sealed requests"
NGRAM = 8  # words; of a shorter prompt, all of them
COPIED = 0.8  # of a prompt's n-grams in one added example
NEAR = 0.9  # cosine of sentence embeddings
SPENT = 0.1  # share of a bumper's prompts from which it is spent
OLD_SAMPLE = 2000  # examples of the old data that embeddings are held against
WORD = re.compile(r"\w+")


class Encoder(Protocol):
    def embed(self, texts: Sequence[str]) -> np.ndarray: ...


@dataclass(frozen=True)
class Added:
    """Prompts that a fix trains on and the run did not, by example id, and those that it did."""

    new: Mapping[str, str]
    old: tuple[str, ...] = field(repr=False)

    @classmethod
    def by(cls, before: Recipe, after: Recipe) -> "Added":
        old = tuple(dict.fromkeys(prompt_of(e) for e in read_examples(before)))
        known = set(old)
        return cls({e.id: p for e in read_examples(after) if (p := prompt_of(e)) not in known}, old)


def contamination(inv: Investigation, case: Case, fix: Recipe, encoder: Encoder | None = None) -> list[PromptsInData]:
    """Of each bumper that looked, and of the sealed requests: how many prompts stand in the data that a fix adds.

    A prompt is copied when 0.8 of its 8-grams of words stand in the prompt of one added example, and near when the
    cosine of their sentence embeddings is 0.9 or more; in both cases only where the run's own data did not hold it
    already. Empty where the fix adds no prompt. Sealed requests are counted and never shown.

    Source: n-gram overlap as decontamination uses it (Brown et al. 2020, arXiv:2005.14165, appendix C, with 13-grams);
    embeddings as in Yang et al. 2023, arXiv:2311.04850, who show that rephrased prompts pass the n-grams.

    Args:
        encoder: of sentences; None takes MiniLM where it was fetched, else `near` is None.
    """
    added = Added.by(inv.run.recipe, fix)
    if not added.new:
        return []
    prompts = dict(asked_by(inv, case)) | {SEALED: tuple(sorted(inv.sealed_texts))}
    encoder = encoder or _minilm()
    nearest = _Nearest(added, encoder) if encoder else None
    return [reached(name, texts, added, nearest) for name, texts in prompts.items() if texts]


def reached(name: str, texts: Sequence[str], added: Added, nearest: "_Nearest | None" = None) -> PromptsInData:
    """One bumper's line."""
    copied = {i: id for i, text in enumerate(texts) if (id := _copied_in(text, added))}
    near = nearest.of(texts) if nearest else {}
    ids = Counter([*copied.values(), *near.values()])
    return PromptsInData(
        bumper=name, prompts=len(texts), copied=len(copied), near=len(near) if nearest else None,
        examples=[id for id, _ in ids.most_common(5)],
    )  # fmt: skip


def spent_by(found: Sequence[PromptsInData]) -> list[str]:
    """Names of those of which a tenth of the prompts or more reached the data."""
    return [p.bumper for p in found if max(p.copied, p.near or 0) >= SPENT * p.prompts]


def asked_by(inv: Investigation, case: Case) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(bumper, its open prompts) of each that looked: its questions, or the open requests and the contexts that it was
    judged in."""
    usual = inv.neutral.system or ""
    for result in case.bumpers:
        if result.bumper == NAME:
            probes = inv.described.open
            yield NAME, _once(_prompt(p.request, p.context, usual) for p in probes)
            continue
        cls = find_bumper(result.bumper)
        try:
            if cls.watches is Answers:  # type: ignore[attr-defined]
                asks = asks_of(cls(), sources_of(inv, "open"))
                yield result.bumper, _once(_prompt(a.item.request, a.item.context, usual) for a in asks)
            elif result.counted == ROLLOUTS:  # where checkpoints are asked for it: its environment's prompts
                told = graded(inv.run.recipe, result.groups[0].name, LEAST_ASKED, inv.settings.seed).open
                yield result.bumper, _once(_prompt(p.request, p.context, usual) for p in told)
            else:
                places = [g.text.removeprefix("system: ") for g in result.groups if g.text]
                yield result.bumper, _once([*(r.text for r in inv.pools.open), *places])
        except (EvidenceError, RecipeError):  # it asked nothing here
            continue


def prompt_of(example: Example) -> str:
    """All turns before the last; of plain text, all of it."""
    return "\n".join(m.content for m in example.messages[:-1]) if example.messages else example.text


def _prompt(request: Request, context: Context, usual: str) -> str:
    system = "" if context.system == usual else context.system
    return " ".join(filter(None, [system, context.prefix, request.text, context.suffix]))


def _once(texts: Sequence[str] | Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(t for t in texts if t.strip()))


def _grams(text: str, n: int) -> list[tuple[str, ...]]:
    words = [w.casefold() for w in WORD.findall(text)]
    n = min(n, len(words))
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)] if n else []


def _copied_in(text: str, added: Added) -> str:
    """The added example that holds a prompt, "" where none does or the old data holds it too."""
    grams = _grams(text, NGRAM)
    if not grams:
        return ""
    n, wanted = len(grams[0]), set(grams)

    def holds(other: str) -> bool:
        return len(wanted & set(_grams(other, n))) >= COPIED * len(wanted)

    found = next((id for id, other in added.new.items() if holds(other)), "")
    return "" if found and any(holds(other) for other in added.old) else found


class _Nearest:
    """Embeddings of added and old prompts."""

    def __init__(self, added: Added, encoder: Encoder) -> None:
        self.encoder, self.ids = encoder, list(added.new)
        step = max(1, len(added.old) // OLD_SAMPLE)
        self.new, self.old = encoder.embed(list(added.new.values())), encoder.embed(list(added.old[::step]) or [""])

    def of(self, texts: Sequence[str]) -> dict[int, str]:
        """Place of a prompt -> the added example that is near to it, and nearer than any old one."""
        vectors = self.encoder.embed(list(texts))
        to_new, to_old = vectors @ self.new.T, (vectors @ self.old.T).max(axis=1)
        best = to_new.argmax(axis=1)
        return {
            i: self.ids[k]
            for i, k in enumerate(best.tolist())
            if to_new[i, k] >= NEAR and to_new[i, k] > to_old[i] + 1e-6
        }


def _minilm() -> Encoder | None:
    """None where it was not fetched: the report then says that reworded prompts were not looked for."""
    from ..subjects.sentence_model import SentenceModel, minilm_dir

    return SentenceModel.load(minilm_dir()) if minilm_dir().is_dir() else None
