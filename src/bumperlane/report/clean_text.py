"""Text from a model, made harmless: for a terminal it is stripped, for a page it is shown by name.

An escape sequence can clear the screen or forge a verdict line; a bidi override can turn a sentence round; zero-width
and tag characters can carry text that a reader does not see. `plain` removes them, `named` shows their names.
"""

import re
import unicodedata

NEWLINE = "↵"
MARKS_IN_A_ROW = 4

# Device strings (OSC, DCS, SOS, PM, APC) only when they are ended: an open one would swallow the rest of the text.
_ESCAPES = re.compile(
    r"(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)
_SHORT = {
    "\x1b": "ESC", "\u061c": "ALM", "\u200b": "ZWSP", "\u200c": "ZWNJ", "\u200d": "ZWJ", "\u200e": "LRM",
    "\u200f": "RLM", "\u202a": "LRE", "\u202b": "RLE", "\u202c": "PDF", "\u202d": "LRO", "\u202e": "RLO",
    "\u2060": "WJ", "\u2066": "LRI", "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI", "\ufeff": "BOM",
}  # fmt: skip
_INVISIBLE_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def plain(text: str, limit: int) -> str:
    """One line of at most `limit` characters that cannot act on a terminal.

    Escape sequences, control codes, bidi and zero-width characters are gone; newlines are shown as `↵`.
    """
    start = text[: 8 * limit + 1024]
    line = start.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    line = _few_marks("".join(c for c in _ESCAPES.sub("", line) if c == "\n" or not _hidden(c)))
    line = line.strip("\n").replace("\n", f" {NEWLINE} ")
    cut = len(line) > limit or len(start) < len(text)
    return line[: max(limit - 1, 0)].rstrip() + "…" if cut else line


def named(text: str, limit: int | None = None) -> str:
    """The text with every hidden character replaced by its name in brackets, as in `[RLO]`; newlines and tabs stay.

    Nothing is dropped but what lies beyond `limit`, and the number of those characters is stated.
    """
    shown = text if limit is None or len(text) <= limit else text[:limit]
    result = _few_marks("".join(_name(c) if _hidden(c) and c not in "\n\t" else c for c in shown.replace("\r\n", "\n")))
    return (
        result if len(shown) == len(text) else f"{result} [… {len(text) - len(shown):,} more characters in case.json]"
    )


def _hidden(char: str) -> bool:
    if char < "\x7f":
        return char < " "
    # Control, format (bidi, zero-width, tags), surrogate and private use; line separators; variation selectors that
    # can carry bytes (the emoji one, U+FE0F, is left alone).
    return (
        unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        or char in _INVISIBLE_LETTERS
        or 0xFE00 <= ord(char) < 0xFE0F
        or 0xE0100 <= ord(char) <= 0xE01EF
    )


def _name(char: str) -> str:
    return f"[{_SHORT.get(char) or f'U+{ord(char):04X}'}]"


def _few_marks(text: str) -> str:
    """At most a few combining marks in a row: a tower of them covers the lines around it."""
    kept, run = [], 0
    for char in text:
        run = run + 1 if unicodedata.combining(char) else 0
        if run <= MARKS_IN_A_ROW:
            kept.append(char)
    return "".join(kept)
