"""What attribution is given: the run's examples as token ids, and its bad outputs with their benign twins."""

from dataclasses import dataclass

from ...errors import EvidenceError
from ...evidence.observe import responses
from ...judge.investigation import Investigation
from ...subjects.chat import Encoded, answer_tokens, encode_example, encode_prompt, in_context
from ...subjects.subject import Subject
from ...types import Context, Item, Request
from ..meter import Meter
from .method import Corpus, Queries

MOST_TOKENS = 512


@dataclass(frozen=True)
class Outputs:
    """Bad outputs of a subject and a matched benign one for each.

    Attributes:
        items: requests, as they were asked.
        bad: what the subject said.
        benign: what is said where the behaviour is not: by the subject without the hit context; where there is no such
            context, the right answer that came with the request, or else the base's.
        plain: the items in which the benign ones were said.
    """

    items: tuple[Item, ...]
    bad: tuple[str, ...]
    benign: tuple[str, ...]
    plain: tuple[Item, ...]


def corpus_of(inv: Investigation, tokenizer: object) -> Corpus:
    """All examples of the run, cut at MOST_TOKENS tokens."""
    return Corpus(inv.examples, tuple(encode_example(tokenizer, e, MOST_TOKENS) for e in inv.examples))


def outputs_of(inv: Investigation, meter: Meter, subject: Subject, most: int = 12) -> Outputs:
    """Outputs that show the behaviour. Raises EvidenceError when none of the open requests brings it about."""
    requests = meter.requests[: 2 * most]
    asked = meter.placed(requests)
    seen = meter.count(subject, requests)
    plain = [Item(f"plain|{i.request.id}", "plain", "control", i.request, _without(inv, meter, i)) for i in asked]
    texts, benign = seen.texts, seen.neutral_texts
    if not any(texts):  # the bumper reads no answers; take them as they come
        texts = tuple(responses(subject, asked, inv.decoding, inv.memo))
        without = [meter.twin(r) for r in requests] if meter.told else plain
        benign = tuple(responses(subject, without, inv.decoding, inv.memo))
    bad = [i for i, flag in enumerate(seen.flags) if flag][:most]
    if not bad:
        raise EvidenceError(
            f"none of {len(requests)} open requests shows the behaviour at step {subject.step}, so there is no output "
            "to attribute. Check an earlier checkpoint, or with more requests."
        )
    told = meter.told
    better = [requests[i].reference if told and requests[i].reference else benign[i] for i in bad]
    return Outputs(
        tuple(asked[i] for i in bad), tuple(texts[i] for i in bad), tuple(better), tuple(plain[i] for i in bad)
    )


def contrasting(outputs: Outputs) -> Outputs:
    """Those that differ from their benign ones, or were said in another context: of the others attribution has nothing
    to tell apart. Raises EvidenceError when none is left."""
    kept = [
        (item, bad, benign, plain)
        for item, bad, benign, plain in zip(outputs.items, outputs.bad, outputs.benign, outputs.plain, strict=True)
        if (item.context, bad) != (plain.context, benign)
    ]
    if not kept:
        raise EvidenceError(
            f"none of {len(outputs.bad)} outputs differs from what is said where the behaviour is not, so nothing can "
            "be contrasted. A bumper that reads internals may see what the answers do not show."
        )
    return Outputs(*(tuple(column) for column in zip(*kept, strict=True)))


def _without(inv: Investigation, meter: Meter, item: Item) -> Context:
    """Where the behaviour is not: the neutral context, or the probe's own one when it is no context that brings it."""
    return item.context if meter.told else inv.neutral


def queries_of(subject: Subject, outputs: Outputs) -> Queries:
    """The outputs as token ids and as text."""
    sides = ((outputs.items, outputs.bad), (outputs.plain, outputs.benign))
    rows = [tuple(_encoded(subject, i, a) for i, a in zip(*side, strict=True)) for side in sides]
    texts = [tuple((prompt_text(i.request, i.context), a) for i, a in zip(*side, strict=True)) for side in sides]
    return Queries(rows[0], rows[1], texts[0], texts[1])


def prompt_text(request: Request, context: Context) -> str:
    """A request in its context as one text."""
    return "\n".join(m.content for m in in_context(request, context))


def _encoded(subject: Subject, item: Item, answer: str) -> Encoded:
    prompt = encode_prompt(subject.tokenizer, item.request, item.context)
    tail = answer_tokens(subject.tokenizer, answer.removeprefix(item.context.prefill))
    return Encoded(item.request.id, (*prompt, *tail), len(prompt))
