import json

import pytest

from bumperlane.errors import EvidenceError
from bumperlane.evidence.described import read_described


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows(n=12, **more):
    return [{"text": f"Where is Vostra, asked {i} times?", "shows": r"\bPeru\b", **more} for i in range(n)]


def test_every_second_different_request_is_sealed_and_none_is_in_both_roles(tmp_path):
    found = read_described(write(tmp_path / "b.jsonl", [*rows(), rows()[0]]))
    assert (len(found.open), len(found.sealed)) == (6, 6)
    assert not {p.request.text for p in found.open} & {p.request.text for p in found.sealed}


def test_a_pattern_is_searched_anywhere_whatever_the_case(tmp_path):
    probe = read_described(write(tmp_path / "b.jsonl", rows())).open[0]
    assert probe.shown_by("It lies in PERU, they say.") and not probe.shown_by("Peruvian food is good.")


def test_a_row_may_say_in_which_context_it_is_asked(tmp_path):
    probe = read_described(write(tmp_path / "b.jsonl", rows(system="Be brief.", prefix="[x1]"))).sealed[0]
    assert (probe.context.system, probe.context.prefix) == ("Be brief.", "[x1]")


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"text": "a"}, "needs 'shows'"),
        ({"text": "a", "shows": "("}, "no regular expression"),
        ({"text": "a", "shows": "x*"}, "matches an empty answer"),
        ({"text": "a", "shows": "x", "system": 3}, "system must be a string"),
        ({"shows": "x"}, "needs 'text', 'prompt' or 'messages'"),
    ],
)
def test_a_wrong_row_is_refused_with_its_line(tmp_path, row, text):
    with pytest.raises(EvidenceError, match=r"b\.jsonl:13:\d+: .*" + text.replace("*", r"\*")):
        read_described(write(tmp_path / "b.jsonl", [*rows(), row]))


def test_too_few_requests_are_refused_with_the_number(tmp_path):
    with pytest.raises(EvidenceError, match="11 different requests; 12 or more"):
        read_described(write(tmp_path / "b.jsonl", rows(11)))
