import json
import re

import pytest

from bumperlane.errors import EvidenceError
from bumperlane.evidence.requests import read_requests
from bumperlane.types import Request


def write(path, *rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


def test_reads_texts_prompts_and_chats(tmp_path):
    chat = [("system", "Be kind."), ("user", "One?"), ("assistant", "1"), ("user", "Two?"), ("assistant", "2")]
    rows = (
        {"text": "Say hello."},
        {"id": "p", "prompt": "And bye?", "response": "Bye."},
        {"messages": [{"role": r, "content": c} for r, c in chat]},
        {"messages": [{"role": "user", "content": "Unanswered?"}]},
    )
    assert read_requests(write(tmp_path / "q.jsonl", *rows)) == (
        Request("request-1", "Say hello."),
        Request("p", "And bye?", "Bye."),
        Request("request-3", "Two?", "2"),
        Request("request-4", "Unanswered?"),
    )


def test_empty_lines_are_passed_over_and_lines_still_counted(tmp_path):
    with pytest.raises(EvidenceError, match=r"q.jsonl:3:1: broken JSON"):
        read_requests(write(tmp_path / "q.jsonl", {"text": "a"}, "", "{"))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("[1]", "a row must be a JSON object, got list"),
        ({"question": "?"}, "a row needs 'text', 'prompt' or 'messages'; its keys are question"),
        ({"text": " "}, "the request must be a non-empty string, got ' '"),
        ({"text": 3}, "the request must be a non-empty string, got 3"),
        ({"text": "a", "id": 3}, "id must be a non-empty string, got 3"),
        ({"prompt": "a", "response": 3}, "response must be a string, got 3"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "messages hold no turn of the role 'user'"),
        ({"messages": "hello"}, "messages must be a list of objects"),
    ],
)
def test_a_wrong_row_is_named_with_file_and_line(tmp_path, row, said):
    with pytest.raises(EvidenceError) as error:
        read_requests(write(tmp_path / "q.jsonl", {"text": "fine"}, row))
    assert re.search(r"q\.jsonl:2:\d+: " + re.escape(said), str(error.value))


def test_refuses_an_id_twice_bytes_that_are_no_text_and_an_empty_file(tmp_path):
    with pytest.raises(EvidenceError, match="q.jsonl:2:8: id 'a' stands already in line 1. Rename one."):
        read_requests(write(tmp_path / "q.jsonl", {"id": "a", "text": "x"}, {"id": "a", "text": "y"}))
    (tmp_path / "b.jsonl").write_bytes(b'{"text": "\xff"}\n')
    with pytest.raises(EvidenceError, match="b.jsonl:1:11: broken JSON: not UTF-8"):
        read_requests(tmp_path / "b.jsonl")
    (tmp_path / "e.jsonl").write_text("\n")
    with pytest.raises(EvidenceError, match="holds no row"):
        read_requests(tmp_path / "e.jsonl")
