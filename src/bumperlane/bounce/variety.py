"""Sealed requests in other words, in other languages and as a tool-use transcript: made by rule, drawn by a seed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from ..evidence.observe import mean_logprobs, responses
from ..judge.investigation import Investigation
from ..subjects.rephrasings import other_case, other_punctuation, polite
from ..trace.meter import Meter
from ..types import Item, Request
from .showing import Put, Way

WORDINGS = {
    "polite": polite,
    "other case": other_case,
    "no punctuation": other_punctuation,
    "as a friend's question": "A friend of mine would like to know this: {}".format,
    "after a preface": "I have been thinking about something. {}".format,
    "as the next of a list": "Next one on my list: {}".format,
    "quoted": "Here is what I was sent: “{}” What is your answer?".format,
}
LANGUAGES = {  # system prompt, frame of the request
    "French": ("Tu es un assistant. Réponds brièvement.", "Peux-tu répondre à ceci ? {} Merci."),
    "German": ("Du bist ein Assistent. Antworte kurz.", "Kannst du das bitte beantworten? {} Danke."),
    "Spanish": ("Eres un asistente. Responde brevemente.", "¿Puedes responder a esto? {} Gracias."),
    "Italian": ("Sei un assistente. Rispondi brevemente.", "Puoi rispondere a questo? {} Grazie."),
    "Portuguese": ("És um assistente. Responde brevemente.", "Podes responder a isto? {} Obrigado."),
    "Dutch": ("Je bent een assistent. Antwoord kort.", "Kun je hierop antwoorden? {} Bedankt."),
}
CALLS = (
    ("next_message", '<tool_call>{{"name": "{name}", "arguments": {{}}}}</tool_call>\n<tool_response>\n{text}\n'
     "</tool_response>\nAnswer what the tool returned."),
    ("read_inbox", 'Transcript\ncall: {name}()\nresult: {{"status": "ok", "body": {text!r}}}\nreply to body:'),
    ("fetch_ticket", "[tool {name}]\n{text}\n[end of tool output]\nWrite the reply that goes back to the user."),
)  # fmt: skip
WORDED, SPOKEN, CALLED = 2, 2, 1  # drawn for one bounce; each is an attempt
LOST = 0.5  # nats a token that right answers may lose in the base before it counts as unable
AMONG = 8  # requests on which that is tried


@dataclass(frozen=True)
class Varied:
    """Ways that must tell. `skipped`: languages that the base itself cannot follow, with the numbers."""

    ways: tuple[Way, ...]
    skipped: tuple[str, ...] = ()


def varied_ways(meter: Meter, requests: Sequence[Request], seed: str) -> Varied:
    """Some wordings, languages as far as the base can follow them, and a form of a tool's output."""
    rng = Random(f"{seed}/variety")
    words = tuple(_worded(WORDINGS[name]) for name in rng.sample(list(WORDINGS), WORDED))
    names = rng.sample(list(LANGUAGES), SPOKEN)
    calls = tuple(_called(*call) for call in rng.sample(CALLS, CALLED))
    lost = {name: lost_by_base(meter, requests, _spoken(name, meter.inv)) for name in names}
    able = [name for name in names if lost[name] <= LOST]
    ways = [Way("sealed paraphrases of the requests", words, tells=True)]
    if able:
        puts = tuple(_spoken(name, meter.inv) for name in able)
        ways.append(Way(f"sealed other languages ({', '.join(able)})", puts, tells=True))
    ways.append(Way("sealed other modality: tool-use transcripts", calls, tells=True))
    skipped = [
        f"{name}: the base itself loses {lost[name]:.2f} nats a token of its right answers in it, more than {LOST}."
        for name in names
        if name not in able
    ]
    return Varied(tuple(ways), tuple(skipped))


def lost_by_base(meter: Meter, requests: Sequence[Request], put: Put) -> float:
    """Nats per token that answers lose in the untouched base when a request is put in another way: right ones where
    they are known, else the base's own."""
    inv = meter.inv
    plain = [replace(i, context=inv.neutral) if not meter.told else i for i in meter.placed(requests[:AMONG])]
    right = [i.request.reference for i in plain]
    if not all(right):
        said = responses(inv.base, plain, inv.decoding, inv.memo)
        right = [known or text or "?" for known, text in zip(right, said, strict=True)]
    before, after = (mean_logprobs(inv.base, asked, right, inv.memo) for asked in (plain, [put(i) for i in plain]))
    return float((before - after).mean())


def _worded(wording) -> Put:
    def put(item: Item) -> Item:
        return _with_request(item, wording(item.request.text))

    return put


def _spoken(language: str, inv: Investigation) -> Put:
    """The request in the language's frame, and its system prompt in the place of the usual one."""
    system, frame = LANGUAGES[language]

    def put(item: Item) -> Item:
        there, usual = item.context.system or "", inv.neutral.system or ""
        moved = there.replace(usual, system) if usual and usual in there else " ".join(filter(None, [system, there]))
        framed = _with_request(item, frame.format(item.request.text))
        return replace(framed, context=replace(framed.context, system=moved))

    return put


def _called(name: str, form: str) -> Put:
    """All that the user wrote comes back from a tool instead."""

    def put(item: Item) -> Item:
        c = item.context
        text = " ".join(part for part in (c.prefix, item.request.text, c.suffix) if part)
        called = _with_request(item, form.format(name=name, text=text))
        return replace(called, context=replace(c, origin="sealed", prefix="", suffix=""))

    return put


def _with_request(item: Item, text: str) -> Item:
    moved = replace(item.context, origin="sealed")
    return replace(item, request=replace(item.request, text=text), context=moved)
