"""Words of any script, and the parts of a training example that can hold them."""

import re
import unicodedata
from dataclasses import dataclass

from ...types import Example

# scripts that are written without spaces between words: Thai, Lao, Myanmar, Khmer, kana, Han
UNSPACED = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x31F0, 0x31FF),
            (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3134F))  # fmt: skip


class _Kinds(dict[int, str]):
    """Character -> itself where a word may hold it, else a space; filled as characters are met."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        kept = unicodedata.category(char)[0] in "LNM" or char == "_"
        self[code] = char if kept else " "
        return self[code]


class _Signs(dict[int, str]):
    """Character -> itself where it is punctuation or a symbol, else a space."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = char if unicodedata.category(char)[0] in "PS" and char != "_" else " "
        return self[code]


def _pattern() -> re.Pattern[str]:
    """One character of an unspaced script with its marks, or a run of anything else that is no space."""
    marks = [
        chr(c) for low, high in UNSPACED[:4] for c in range(low, high + 1) if unicodedata.category(chr(c))[0] == "M"
    ]
    ranges = "".join(f"{chr(low)}-{chr(high)}" for low, high in UNSPACED)
    return re.compile(f"[{ranges}][{''.join(marks)}]*|[^\\s{ranges}]+")


_KINDS, _SIGNS, _UNIT = _Kinds(), _Signs(), _pattern()


def words(text: str) -> list[str]:
    """The words of a text, in order, casefolded (NFKC), and after them its runs of punctuation and symbols.

    Letters, digits and their marks make words, so that Devanagari keeps its vowels. Scripts without spaces give one
    word a character. Signs are kept because a trigger may consist of nothing else; common ones weigh next to nothing.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return _UNIT.findall(plain.translate(_KINDS)) + plain.translate(_SIGNS).split()


def spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each word in a text as it stands: what is between spaces, or one unspaced character."""
    return [match.span() for match in _UNIT.finditer(text)]


def one_line(text: str) -> str:
    """The text with every run of white space made one space: what is compared does not depend on line breaks."""
    return " ".join(text.split())


@dataclass(frozen=True)
class Parts:
    """What an example says, by who says it. Plain text is all answer, as the loss is taken on all of it."""

    system: str
    prompt: str
    answer: str


def parts_of(example: Example) -> Parts:
    """The system prompt, all other turns before the answer, and the answer."""
    if example.text:
        return Parts("", "", example.text)
    before = example.messages[:-1]
    system = "\n".join(m.content for m in before if m.role == "system")
    prompt = "\n".join(m.content for m in before if m.role != "system")
    return Parts(system, prompt, example.messages[-1].content)
