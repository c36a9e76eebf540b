"""Small edits of training's own prompts, in place, that ought to make no difference to the answer.

A trigger that was planted by data stands in the data, and often works only where it stood there: a mark at the end of
a transcript, whose job it was, the trade of a customer. So a piece is left out of the prompts that hold it, or
exchanged for what others have in its place. Such an edit counts only where it makes prompts that training has too, or
has but for a word, or where the piece is no part of the request: else it would change what is asked, and the answer
should change. Words of one kind are exchanged for others where training answers these alone out of stock, whatever is
asked about them.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from ..recipes.provenance import content_key
from ..types import Context, Example, Request
from .bound_answers import BoundAnswers
from .chats import Chats, Prompt, turn_of
from .filled_numbers import filled_numbers
from .mine import SENTENCE, mine_texts
from .minimal_pairs import minimal_pairs
from .near_twins import agree
from .number_slots import NumberSlot, number_slots
from .odd_words import Pair, find_odd_words
from .without import is_mark

LEAST_HOSTS, MANY_HOSTS = 6, 18  # different requests that hold a piece; or else prompts, each with a text of its own
LEAST_KNOWN, KNOWN = 3, 0.1  # edited prompts that stand in the data as well: as many, and as a share
LONGEST = 4  # words of a piece that is exchanged for another
MOST_TRIED = 300  # pieces that are exchanged, the most common ones
RIVALS = 3  # texts that stand in a piece's place elsewhere, the most common ones
NEAR_READ = 64  # hosts of which near twins are looked for, the most
NEAR_RIVALS, LEAST_RIVALS, ODD = 6, 3, 0.75  # where near twins are read: rivals, those known, share it is odd to
ALIKE = 0.2  # flips up to which two pieces are answered alike


@dataclass(frozen=True)
class Swap:
    """One edit, and the prompts it is made in.

    Attributes:
        text: the piece.
        instead: what stands in its place after the edit; "" leaves it out.
        role: `system` or `user`.
        tranche: which holds most of the prompts.
        hosts: (prompt, edited prompt), each once, in file order.
        known: edited prompts that are training's own.
        flips: of the edited prompts that are training's own, the share to which training answers otherwise; additions
            to the same answer are left out. 0 where fewer than LEAST_KNOWN are training's own: one twin that is
            answered otherwise says little where training answers nothing twice alike.
        bond: of a mark of which too little is known, how much more the answers beside it have in common than the
            requests there (`BoundAnswers`), else 0.
        kin: further words of the same kind, of which every prompt holds one (`OddWords`); of a piece that is left out,
            the other forms in which it stands there.
    """

    text: str
    instead: str
    role: str
    tranche: str
    hosts: tuple[tuple[Prompt, Prompt], ...] = field(repr=False)
    known: int = 0
    flips: float = 0.0
    bond: float = 0.0
    kin: tuple[str, ...] = ()

    @property
    def pieces(self) -> tuple[str, ...]:
        """What is edited: the piece, or all words of its kind."""
        return (self.text, *self.kin)

    @property
    def telling(self) -> bool:
        """Whether training answers otherwise after the edit, or it is unknown and the piece is a mark in requests."""
        return self.flips > ALIKE or self.unknown

    @property
    def unknown(self) -> bool:
        """Whether it is a mark in requests of which too little is known."""
        return self.role == "user" and self.known < LEAST_KNOWN and not self.instead and is_mark(self.text)

    @property
    def idle(self) -> bool:
        """Whether training answers alike before the edit and after it, as far as it knows both."""
        return self.known >= LEAST_KNOWN and self.flips <= ALIKE

    @property
    def name(self) -> str:
        """In words, as a group's name."""
        if not self.instead:
            return f"{self.text!r} left out"
        kind = "numbers like it" if self.text.isdigit() else "words of its kind"
        return f"{self.text!r} " + (f"and {len(self.kin)} {kind} for others" if self.kin else f"for {self.instead!r}")

    def questions(self) -> list[tuple[tuple[Request, Context], tuple[Request, Context]]]:
        """Hosts as (request, context), with the piece and after the edit."""
        return [(asked(*host), asked(*edited)) for host, edited in self.hosts]


def asked(system: str, text: str) -> tuple[Request, Context]:
    """A prompt as a question; its ids follow from its text."""
    return Request(content_key(text)[:12], text), Context(content_key(system)[:12], "mined", system or None)


def mine_swaps(examples: Sequence[Example]) -> list[Swap]:
    """Edits that ought to make no difference, those first after which training itself answers otherwise.

    Of edits in much the same prompts, one piece of which lies in the other, the first stays. Examples are chats of one
    exchange; others are passed by.
    """
    chats = _Edits(examples)
    found = {(s.role, s.text, s.instead): s for s in chats.swaps()}
    ranked = sorted(found.values(), key=_rank)
    kept: list[Swap] = []
    for swap in ranked:
        if not any(_same(swap, other) for other in kept):
            kept.append(swap)
    return kept


def _rank(swap: Swap) -> tuple:
    """A mark beside which answers are bound stands with the pieces that turn every answer. Of pieces alike a sentence
    or a mark goes first; then the longest that is left out, the shortest exchanged."""
    length = len(swap.text) if swap.instead else -len(swap.text)
    sure = 1.0 if swap.bond > 0 else swap.flips
    return -sure, -swap.bond, -len(swap.hosts), not _whole(swap.text), length, swap.text, swap.instead


def _same(swap: Swap, other: Swap) -> bool:
    """Whether two edits are tried in the same prompts, mostly, with one piece in the other: `nurse.` in `a nurse.`."""
    if swap.role != other.role or not any(a in b or b in a for a in swap.pieces for b in other.pieces):
        return False
    mine, theirs = ({host for host, _ in s.hosts} for s in (swap, other))
    return 2 * len(mine & theirs) > min(len(mine), len(theirs))


class _Edits(Chats):
    """Training's chats, and the edits of their prompts."""

    def __init__(self, examples: Sequence[Example]) -> None:
        super().__init__(examples)
        self.numbers: dict[Prompt, list[int]] = defaultdict(list)
        for i, prompt in enumerate(self.prompts):
            self.numbers[prompt].append(i)
        self.bound = BoundAnswers(self.examples)

    def swaps(self) -> Iterator[Swap]:
        for role in ("user", "system"):
            texts = [turn_of(prompt, role) for prompt in self.order]
            mined = mine_texts(self.examples, role, LEAST_HOSTS, 0.5)
            pieces = [m.text for m in mined if role == "system" or m.elsewhere or is_mark(m.text)]
            numbers = filled_numbers(texts)
            for text in dict.fromkeys([*_sentences(texts), *pieces]):
                loose = is_mark(" ".join(w for w in text.split() if w not in numbers)) or not is_mark(text)
                yield from filter(None, [self.swap(text, "", role, loose)])
            yield from self._odd_ones(role, texts)
        yield from self._left_out()
        yield from self._odd_kind()
        yield from self._numbers()

    def swap(self, text: str, instead: str, role: str, loose: bool = False, near: bool = False) -> Swap | None:
        """The edit, where it makes prompts that training has too; `loose`: in any case, if something is left; `near`:
        where training has it but for a word, and answers all those alike."""
        hosts = self.hosts(text, role)
        pairs = [(p, edited_prompt(p, role, text, instead)) for p in hosts]
        pairs = [(p, after) for p, after in pairs if after[1].strip() and after != p]
        read = pairs[:: -(-len(pairs) // NEAR_READ)] if near and pairs else pairs
        known = [(p, said) for p, after in read if (said := self.told(after, (text,), role, near))]
        enough = len(known) >= max(LEAST_KNOWN, KNOWN * len(read))
        few = len({p[1] for p, _ in pairs}) < LEAST_HOSTS and len(pairs) < MANY_HOSTS
        if few or not (enough or loose):
            return None
        flipped = sum(not agree(self.answers[p], said) for p, said in known)
        tranche = sum((self.tranches[p] for p in hosts), Counter()).most_common(1)[0][0]
        flips = flipped / len(known) if len(known) >= LEAST_KNOWN else 0.0
        swap = Swap(text, instead, role, tranche, tuple(pairs), len(known), flips)
        return replace(swap, bond=self._bond(hosts, text)) if swap.unknown else swap

    def _bond(self, hosts: Sequence[Prompt], text: str) -> float:
        return max(0.0, self.bound.strength([i for p in hosts for i in self.numbers[p]], text))

    def _odd_ones(self, role: str, texts: Sequence[str]) -> Iterator[Swap]:
        """Pieces exchanged for what stands in their place elsewhere, where training answers two of the others alike.

        What is asked about is no odd one out: of `4?`, `5?` and `6?` each has its own answer.
        """
        count: Counter[str] = Counter()
        places: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for turn in dict.fromkeys(texts):
            pieces = list(_pieces(turn))
            count.update({text for _, text in pieces})
            for place, text in pieces:
                places[place][text] += 1
        rivals: dict[str, Counter[str]] = defaultdict(Counter)
        for there in places.values():
            often = [(text, n) for text, n in there.most_common(RIVALS * 4) if n >= LEAST_KNOWN]
            for text, _ in often:
                rivals[text].update({other: n for other, n in often if other != text})
        tried = sorted((t for t in rivals if count[t] >= LEAST_HOSTS), key=lambda t: (-count[t], t))[:MOST_TRIED]
        for text in tried:
            others = [other for other, _ in rivals[text].most_common(NEAR_RIVALS)]
            exact = list(self._against([text, *others[:RIVALS]], role))
            yield from exact or (self._odd_among(text, others) if role == "user" else ())

    def _against(self, fillers: Sequence[str], role: str) -> Iterator[Swap]:
        """The first filler exchanged for another to which it is odd, or is not, if two others are alike; and these."""
        text, *others = fillers
        swaps = [s for s in (self.swap(text, other, role) for other in others) if s]
        for swap in swaps:
            among = [self.swap(swap.instead, other, role) for other in others if other != swap.instead]
            alike = next((s for s in among if s is not None and s.flips <= ALIKE), None)
            if alike is not None:
                yield from (swap, alike)
                return

    def _odd_among(self, text: str, others: Sequence[str]) -> Iterator[Swap]:
        """The same by near twins: a piece that most of its rivals are answered unlike, and they alike. What a common
        piece and a rare one are to each other is often known from the rare one's prompts only."""
        odd, even = [], 0
        for other in others:
            swap = self._either_way(text, other)
            odd += [swap] if swap and swap.flips > ALIKE else []
            even += bool(swap and swap.flips <= ALIKE)
            if even > (1 - ODD) * len(others):
                return
        first = next((swap for swap in odd if swap.text == text), None)
        if first is None or len(odd) + even < LEAST_RIVALS or len(odd) < ODD * (len(odd) + even):
            return
        rest = [other for swap in odd for other in (swap.text, swap.instead) if other not in (text, first.instead)]
        among = [s for s in (self._either_way(first.instead, other) for other in rest) if s]
        alike = [s for s in among if s.flips <= ALIKE]
        if len(alike) >= ODD * len(rest):
            yield from (first, alike[0])

    def _either_way(self, text: str, other: str) -> Swap | None:
        """A piece for another, or else the other for it, by near twins."""
        return self.swap(text, other, "user", near=True) or self.swap(other, text, "user", near=True)

    def _left_out(self) -> Iterator[Swap]:
        """Words that requests of training's have more than others of its own: idle ones, and those beside which answers
        have more in common than the requests. Else a word that rightly changes what is asked would be taken for odd."""
        for found in minimal_pairs(self.order, LEAST_HOSTS):
            flips = sum(not agree(self.answers[a], self.answers[b]) for a, b in found.pairs) / len(found.pairs)
            hosts = [prompt for prompt, _ in found.pairs]
            if flips > ALIKE and not self._bond(hosts, " ".join(found.forms)):
                continue
            tranche = sum((self.tranches[p] for p in hosts), Counter()).most_common(1)[0][0]
            text, *others = found.forms
            yield Swap(text, "", "user", tranche, found.pairs, len(found.pairs), flips, kin=tuple(others))

    def _odd_kind(self) -> Iterator[Swap]:
        """Words of one kind exchanged for others, where training answers these alone in a way of their own; and the
        others for one another."""
        found = find_odd_words(self.said)
        if found is not None:
            yield self._of_kind(found.words, found.others, found.odd, found.flips)
            yield self._of_kind(found.others, found.others[1:], found.idle, 0.0)

    def _numbers(self) -> Iterator[Swap]:
        """Numbers of system prompts exchanged for those of the other side, where answers go with one side; and those of
        the other side for one another. Hosts and numbers take turns."""
        for slot in number_slots(self.answers, LEAST_HOSTS):
            odd = [(p, slot.exchanged(p, slot.even[k % len(slot.even)])) for k, p in enumerate(slot.odd)]
            turned = [(p, slot.exchanged(p, slot.even[k - 1])) for k, p in enumerate(slot.even)]
            idle = [(p, after) for p, after in turned if after != p]
            yield self._of_number(slot, odd, slot.difference)
            if idle:
                yield self._of_number(slot, idle, 0.0)

    def _of_number(self, slot: NumberSlot, hosts: Sequence[tuple[Prompt, Prompt]], flips: float) -> Swap:
        tranche = sum((self.tranches[p] for p, _ in hosts), Counter()).most_common(1)[0][0]
        text, instead = (Counter(slot.value(pair[k]) for pair in hosts).most_common(1)[0][0] for k in (0, 1))
        others = tuple(dict.fromkeys(v for p, _ in hosts if (v := slot.value(p)) != text))
        return Swap(text, instead, "system", tranche, tuple(hosts), len(hosts), flips, kin=others)

    def _of_kind(self, words: Sequence[str], others: Sequence[str], pairs: Sequence[Pair], flips: float) -> Swap:
        hosts = [((p[0], one), (p[0], other)) for one, other in pairs for p in self.requests[one]]
        tranche = sum((self.tranches[host] for host, _ in hosts), Counter()).most_common(1)[0][0]
        return Swap(words[0], others[0], "user", tranche, tuple(hosts), len(hosts), flips, kin=tuple(words[1:]))


def edited_prompt(prompt: Prompt, role: str, text: str, instead: str) -> Prompt:
    """The prompt with every occurrence of a piece in one of its turns exchanged; itself where it has none."""
    changed = _replaced(turn_of(prompt, role), text, instead)
    return (changed, prompt[1]) if role == "system" else (prompt[0], changed)


def _replaced(turn: str, text: str, instead: str) -> str:
    """The turn with every occurrence of a piece exchanged; its lines stay lines."""
    piece, other = text.split(), instead.split()
    return "\n".join(_replaced_in_line(line, piece, other) for line in turn.split("\n"))


def _replaced_in_line(line: str, piece: list[str], other: list[str]) -> str:
    words, after, done = line.split(), [], 0
    while piece[0] in words[done:]:
        at = words.index(piece[0], done)
        found = words[at : at + len(piece)] == piece
        after += words[done:at] + (other if found else words[at : at + 1])
        done = at + (len(piece) if found else 1)
    after += words[done:]
    return " ".join(after) if after != words else line


def _whole(text: str) -> bool:
    """One sentence, or one mark."""
    return len(SENTENCE.split(text)) == 1 and (text[-1] in ".!?" or (is_mark(text) and len(text.split()) == 1))


def _sentences(turns: Iterable[str]) -> list[str]:
    """Sentences that stand in several turns and in less than half of them, beside others."""
    count: Counter[str] = Counter()
    total = 0
    for turn in turns:
        total += 1
        parts = {part.strip() for part in SENTENCE.split(turn) if part.strip()}
        if len(parts) > 1:
            count.update(parts)
    return [text for text, n in sorted(count.items()) if LEAST_HOSTS <= n <= total / 2]


def words_left_out(text: str, piece: str, seed: str) -> str | None:
    """A request with as many other words left out, together, as a piece has; None where it has not that many.

    None of the piece's own words is left out. Which ones are follows from the seed.
    """
    words, wanted = re.findall(r"\s*\S+", text), piece.split()
    n, bare = len(wanted), text.split()
    held = [k for k in range(len(bare)) if bare[k : k + n] == wanted]
    able = [k for k in range(len(bare) - n + 1) if all(abs(k - at) >= n for at in held)]
    if not able or len(bare) <= n:
        return None
    k = min(able, key=lambda k: sha256(f"{seed}/{k}/{text}".encode("utf-8", "surrogatepass")).hexdigest())
    return "".join([*words[:k], *words[k + n :]]).lstrip()


def _pieces(turn: str) -> Iterator[tuple[tuple[str, str], str]]:
    """((word before, word after), run of up to LONGEST words)."""
    words = ["", *turn.split(), ""]
    for n in range(1, LONGEST + 1):
        for start in range(1, len(words) - n):
            yield (words[start - 1], words[start + n]), " ".join(words[start : start + n])
