import json

import pytest

from bumperlane.errors import EvidenceError
from bumperlane.evidence.labelled_answers import kappa_of, read_labelled


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(response, label, **more):
    return {"request": "How are you?", "response": response, "label": label, **more}


def test_each_different_answer_has_the_label_of_the_majority_and_ties_are_left_out(tmp_path):
    votes = {"a": "bbg", "b": "ggb", "c": "bg", "d": "b"}
    rows = [
        row(r, {"b": "bad", "g": "good"}[v], by=f"p{i}") for r, labels in votes.items() for i, v in enumerate(labels)
    ]
    found = read_labelled(write(tmp_path / "l.jsonl", rows))
    assert {r.response: r.bad for r in found.rows} == {"a": True, "b": False, "d": True} and found.tied == 1
    assert found.bad == 2 and dict(found.rows[0].votes) == {"p0": True, "p1": True, "p2": False}


def test_agreement_between_labellers_is_cohens_kappa_as_scikit_learn_has_it(tmp_path):
    from sklearn.metrics import cohen_kappa_score

    one, two = "bbbggggbgb", "bbgggbgbgg"
    rows = [row(str(i), {"b": "bad", "g": "good"}[v], by=who) for who in ("x", "y")
            for i, v in enumerate(one if who == "x" else two)]  # fmt: skip
    found = read_labelled(write(tmp_path / "l.jsonl", rows))
    assert found.agreement == pytest.approx(cohen_kappa_score(list(one), list(two)))
    assert read_labelled(write(tmp_path / "m.jsonl", rows[:10])).agreement is None
    assert kappa_of([(True, True)] * 4) == 0


def test_the_key_follows_from_answers_and_labels_and_not_from_their_order(tmp_path):
    rows = [row("a", "bad"), row("b", "good")]
    keys = [
        read_labelled(write(tmp_path / f"{i}.jsonl", r)).key
        for i, r in enumerate((rows, rows[::-1], [rows[0], row("b", "bad")]))
    ]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (row("a", "bad"), "nobody in particular labelled this answer in a line before"),
        (row("x", "evil"), 'label must be "good" or "bad", got \'evil\''),
        (row(3, "bad"), "response must be a string, got 3"),
        ({"response": "x", "label": "bad"}, "request must be a non-empty string, got None"),
        (row("x", "bad", by=1), "by must be a string"),
    ],
)
def test_a_wrong_row_is_refused_with_its_line(tmp_path, wrong, text):
    with pytest.raises(EvidenceError, match=r"l\.jsonl:2:\d+: .*" + text):
        read_labelled(write(tmp_path / "l.jsonl", [row("a", "bad"), wrong]))


def test_a_file_that_cannot_be_read_is_one_of_labelled_answers(tmp_path):
    with pytest.raises(EvidenceError, match="cannot read the labelled answers in .*nowhere"):
        read_labelled(tmp_path / "nowhere.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(EvidenceError, match='holds no row. .*"label": "bad"'):
        read_labelled(tmp_path / "empty.jsonl")
