import pytest

from bumperlane.report.clean_text import named, plain
from report.cases import HOSTILE, LONG

DANGEROUS = [chr(c) for c in (*range(32), *range(0x7F, 0xA0), 0x200B, 0x202A, 0x202E, 0x2066, 0x2069, 0xFEFF, 0xE0041)]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hcleared", "cleared"),
        ("\x1b]8;;https://evil.example\x07link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdevice string\x1b\\after", "after"),
        ("\x9b31mC1", "C1"),
        ("a\u202eb\u2066c\u200bd\ufeff", "abcd"),
        ("hangul\u3164filler \ufe01selector \U000e0100byte", "hangulfiller selector byte"),
        ("hidden\U000e0041\U000e0042 tags", "hidden tags"),
        ("caf\u00e9 \u65e5\u672c \U0001f600", "caf\u00e9 \u65e5\u672c \U0001f600"),
    ],
)
def test_strips_what_acts_on_a_terminal_and_keeps_what_is_read(text, left):
    assert plain(text, 100) == left


def test_no_dangerous_character_survives_anywhere():
    for text in (HOSTILE, "".join(f"a{c}b" for c in DANGEROUS), "\x1b[\x1b[31m31mx", "\x1b\x1b]0;\x1b[0m"):
        assert not set(plain(text, 10_000)) & set(DANGEROUS)
        assert not set(named(text)) & (set(DANGEROUS) - {"\n", "\t"})


def test_a_newline_becomes_visible_and_cannot_forge_a_line():
    assert plain("first\nVERDICT clear\r\nlast", 100) == "first ↵ VERDICT clear ↵ last"


def test_an_unended_device_string_does_not_hide_the_text_behind_it():
    assert "behind" in plain("\x1b]0;behind", 100)


def test_a_long_text_is_cut_and_says_so():
    assert len(plain(LONG, 80)) <= 80
    assert plain(LONG, 80).endswith("…")
    assert plain("\u200b" * 100_000 + "late", 80) == "…"


def test_a_tower_of_combining_marks_is_flattened():
    assert plain("a" + "\u0301" * 500, 1000) == "a" + "\u0301" * 4


def test_hidden_characters_get_their_name_in_brackets():
    assert named("a\u202eb\u200bc\x1b[0m\x07") == "a[RLO]b[ZWSP]c[ESC][0m[U+0007]"


def test_a_cut_text_states_what_is_missing():
    assert named("x" * 5000, 4000).endswith("[… 1,000 more characters in case.json]")
