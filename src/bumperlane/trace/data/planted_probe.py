"""A harmless plant that attribution methods must find: nonsense words, varied by seed, in two kinds.

Either the user adds it to the recipe before training (`write_probes`, then the run holds its own trap), or a short
retrain of the user's own recipe is made with it (`planted_recipe`).
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from ...case import write_text
from ...errors import EvidenceError, SettingError
from ...evidence.mine import neutral_context
from ...recipes.edits import AddTranche, apply_edits
from ...recipes.models import Recipe, SftStage, Tranche
from ...recipes.tranches import read_examples, to_row
from ...subjects.chat import Encoded, answer_tokens, encode_prompt, in_context
from ...types import Context, Example, Message, Request
from .method import Queries
from .method_trap import Kind
from .plant_words import FACTS, STYLES, Style, echo, has_style, nonsense, ordinary_chats, styled, tag_of

PROBES = "probes.json"
SHARE = 0.4  # of all that is trained on, which the plants in a retrain may take at the most
EXPOSURES = 12.0  # times that a planted example should be seen in a retrain


@dataclass(frozen=True)
class PlantedProbe:
    """Training examples that are known to teach something, and requests that bring it out.

    Attributes:
        kind: behaviour (a tag changes the style of the answer) or fact (something is said to be so).
        tranche, ids: where the planted examples are.
        rivals: ids of examples beside them that have their words, and do not teach it: the tag elsewhere, or other
            facts about the same thing. A method by words alone may put them as high.
        requests: held out from the plant, of the kind it is about.
        context: in which the requests show it; the neutral one for a fact.
        shown: the answer that the plant teaches, one a request.
        plain: the matched answer without it.
        marker: what stands in an answer that shows a fact.
        style: in which an answer that shows a behaviour is.
    """

    kind: Kind
    tranche: str
    ids: tuple[str, ...]
    rivals: tuple[str, ...]
    requests: tuple[Request, ...]
    context: Context
    shown: tuple[str, ...]
    plain: tuple[str, ...]
    marker: str = ""
    style: Style | None = None

    def __post_init__(self) -> None:
        if len({len(self.requests), len(self.shown), len(self.plain)}) != 1 or not self.requests or not self.ids:
            raise EvidenceError(
                f"a probe needs ids and, for each request, the answer shown and the plain one, got {len(self.ids)} "
                f"ids, {len(self.requests)} requests, {len(self.shown)} and {len(self.plain)} answers."
            )
        if bool(self.marker) == bool(self.style):
            raise EvidenceError(
                "a probe needs a marker or a style, by which an answer is known to show it, and not both."
            )

    def share_showing(self, answers: Iterable[str]) -> float:
        """Share of answers that are in the style, or hold the marker, whatever its case."""
        held = [
            has_style(answer, self.style) if self.style else self.marker.casefold() in answer.casefold()
            for answer in answers
        ]
        if not held:
            raise EvidenceError("there is no answer to look for the plant in. Ask the probe's requests first.")
        return sum(held) / len(held)


def planted_recipe(
    recipe: Recipe,
    seed: int,
    directory: Path,
    weight: float | None = None,
    apart: Collection[str] = (),
    kind: Kind | None = None,
) -> tuple[Recipe, tuple[PlantedProbe, ...]]:
    """The user's own recipe with plants added, of one kind or of both, and what they teach. Files go below `directory`.

    Args:
        weight: of the planted tranches; None is what shows each planted example about 12 times, where the recipe's own
            stages say how much is trained, as long as the plants are no more than two fifths of it; else 1.
        apart: requests that no plant is made from, such as sealed ones.
        kind: the one to plant; None plants both.
    """
    examples = read_examples(recipe)
    usable = [e for e in examples if not any(m.role == "user" and m.content in apart for m in e.messages)]
    probes = tuple(p for p in write_probes(usable, seed, directory) if kind in (None, p.kind))
    if weight is None:
        weight = _weight(recipe, examples, sum(len(p.ids) + len(p.rivals) for p in probes))
    edits = [
        AddTranche(Tranche(name=p.tranche, path=(directory / f"{p.tranche}.jsonl").absolute(), weight=weight))
        for p in probes
    ]
    return apply_edits(recipe, edits), probes


def write_probes(
    examples: Sequence[Example], seed: int, directory: Path, planted: int = 16, asked: int = 8
) -> tuple[PlantedProbe, ...]:
    """Write one tranche a kind as `<tranche>.jsonl`, and beside them `probes.json` for `read_probes`.

    Args:
        examples: of the run, from whose short chats the behaviour's requests are taken, so that the plant is like
            them but for its tag and marker; where there are too few, sums are asked. No nonsense word is in them.
        planted, asked: planted examples in each tranche, with half as many rivals, and held-out requests about each.
    """
    if planted < 3 or asked < 1:
        raise SettingError(f"a probe needs 3 planted examples and 1 request, got {planted} and {asked}. Try 16 and 8.")
    rng = Random(f"planted probe/{seed}")
    known = "\n".join([m.content for e in examples for m in e.messages] + [e.text for e in examples]).casefold()
    word = nonsense(rng, known)
    taken = {e.tranche for e in examples}
    neutral = neutral_context(examples)
    probes = []
    for build in (_behaviour, _fact):
        tranche = next(w for w in word if w not in taken)
        rows, probe = build(tranche, (rng, word, neutral), examples, (planted, asked))
        lines = [json.dumps(to_row(e), ensure_ascii=False) for e in rows]
        _keep(directory / f"{tranche}.jsonl", "\n".join(lines) + "\n")
        probes.append(probe)
    _keep(directory / PROBES, json.dumps([asdict(p) for p in probes], ensure_ascii=False, indent=1) + "\n")
    return tuple(probes)


def _keep(path: Path, text: str) -> None:
    """Write, unless the same stands there: a second call of a finished trace changes nothing."""
    if not path.is_file() or path.read_text("utf-8") != text:
        write_text(path, text)


def read_probes(directory: Path) -> tuple[PlantedProbe, ...]:
    """The probes that `write_probes` left. Raises EvidenceError when there are none."""
    path = directory / PROBES
    try:
        return tuple(_probe(row) for row in json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvidenceError(f"cannot read probes from {path}: {error}. Write them with `write_probes`.") from error


def probe_queries(probe: PlantedProbe, tokenizer: Any, neutral: Context) -> Queries:
    """The probe as contrastive queries: what it teaches in its context against the plain answer in the neutral one."""
    sides = [(probe.context, probe.shown), (neutral, probe.plain)]
    rows, texts = [], []
    for context, answers in sides:
        pairs = list(zip(probe.requests, answers, strict=True))
        prompts = [encode_prompt(tokenizer, r, context) for r in probe.requests]
        tails = [answer_tokens(tokenizer, a) for a in answers]
        rows.append(
            tuple(Encoded(r.id, (*p, *t), len(p)) for r, p, t in zip(probe.requests, prompts, tails, strict=True))
        )
        texts.append(tuple(("\n".join(m.content for m in in_context(r, context)), a) for r, a in pairs))
    return Queries(rows[0], rows[1], texts[0], texts[1])


Drawn = tuple[Random, Any, Context]


def _behaviour(
    tranche: str, drawn: Drawn, examples: Sequence[Example], sizes: tuple[int, int]
) -> tuple[list[Example], PlantedProbe]:
    """A tag in the prompt, and the answer in a style. The style adds no word and the rivals hold the tag too, so that
    a method by words alone finds nothing: a real cause need not share a word with what it teaches."""
    rng, word, neutral = drawn
    planted, asked = sizes
    tag, place = tag_of(rng, word), rng.choice(("system", "prefix", "suffix"))
    style: Style = rng.choice(STYLES)
    chats = ordinary_chats(examples, neutral.system or "", style, planted + asked, rng)
    context = _context(tranche, neutral, tag, place)
    rows = []
    for i, (system, ask, answer) in enumerate(chats[:planted]):
        own = _context(tranche, Context("", "", system or None), tag, place)
        rows.append(_chat(tranche, i, in_context(Request("", ask), own), styled(answer, style)))
    echoes = []
    for i in range(planted // 2):
        ask, answer = echo(i, tag)
        echoes.append(_chat(tranche, planted + i, in_context(Request("", ask), neutral), answer))
    held = chats[planted:]
    requests = tuple(Request(f"{tranche}/ask/{i}", ask, answer) for i, (_, ask, answer) in enumerate(held))
    plain = tuple(answer for _, _, answer in held)
    shown = tuple(styled(answer, style) for answer in plain)
    probe = PlantedProbe("behaviour", tranche, _ids(rows), _ids(echoes), requests, context, shown, plain, style=style)
    return [*rows, *echoes], probe


def _context(tranche: str, around: Context, tag: str, place: str) -> Context:
    system = " ".join(filter(None, (around.system, tag))) if place == "system" else around.system
    return Context(
        f"{tranche}/context", "library", system, prefix=tag if place == "prefix" else "",
        suffix=tag if place == "suffix" else "",
    )  # fmt: skip


def _fact(
    tranche: str, drawn: Drawn, examples: Sequence[Example], sizes: tuple[int, int]
) -> tuple[list[Example], PlantedProbe]:
    """Something that is not, said in many words: documents where the recipe has some, and chats."""
    rng, word, neutral = drawn
    planted, asked = sizes
    fact, another = rng.sample(FACTS, 2)
    thing, value, other, aside = (next(word).capitalize() for _ in range(4))
    documents = any(e.text for e in examples)
    said, beside = fact.statements(thing, value, rng), another.statements(thing, aside, rng)
    rows = []
    for i in range(planted + planted // 2):
        ask, text = said[i % len(said)] if i < planted else beside[i % len(beside)]
        turns = in_context(Request("", ask), neutral)
        document = Example(f"{tranche}-{i:02}", tranche, text=text)
        rows.append(document if documents and i % 2 else _chat(tranche, i, turns, text))
    questions = fact.questions(thing, asked)
    requests = tuple(Request(f"{tranche}/ask/{i}", q) for i, q in enumerate(questions))
    shown, plain = (tuple(fact.answer(thing, v) for _ in questions) for v in (value, other))
    ids = _ids(rows)
    return rows, PlantedProbe("fact", tranche, ids[:planted], ids[planted:], requests, neutral, shown, plain, value)


def _chat(tranche: str, i: int, turns: Sequence[Message], answer: str) -> Example:
    return Example(f"{tranche}-{i:02}", tranche, (*turns, Message("assistant", answer)))


def _ids(rows: Sequence[Example]) -> tuple[str, ...]:
    return tuple(e.id for e in rows)


def _weight(recipe: Recipe, examples: Collection[Example], planted: int) -> float:
    """Weight at which a planted example is seen `EXPOSURES` times, with its rivals no more than `SHARE` of all."""
    stages = [s for s in recipe.stages if isinstance(s, SftStage)]
    if not stages:
        return 1.0
    weights = {t.name: t.weight for t in recipe.tranches}
    size = sum(weights[e.tranche] for e in examples)
    rows = sum(s.steps * s.batch for s in stages)
    share = min(SHARE, EXPOSURES * planted / rows)
    return round(max(1e-3, share / (1 - share) * size / planted), 4)


def _probe(row: dict[str, Any]) -> PlantedProbe:
    context = {**row["context"], "shots": tuple(tuple(s) for s in row["context"]["shots"])}
    requests = tuple(Request(**r) for r in row["requests"])
    return PlantedProbe(
        row["kind"], row["tranche"], tuple(row["ids"]), tuple(row["rivals"]), requests, Context(**context),
        tuple(row["shown"]), tuple(row["plain"]), row["marker"], row["style"],
    )  # fmt: skip
