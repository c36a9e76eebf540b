"""What is filtered, and what a filter says of itself, with an encoder that only knows which words a text has."""

import hashlib
import json

import numpy as np
import pytest

from bumperlane.errors import EvidenceError, RecipeError, SettingError
from bumperlane.recipes.edits import DropExamples, DropTranche, apply_edits
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.tranches import read_examples
from bumperlane.trace.data import topic_classifier, topic_scores
from bumperlane.trace.data.bm25 import Index
from bumperlane.trace.data.topic_filter import FilterSettings, filter_examples
from bumperlane.trace.data.topic_keywords import Keywords
from bumperlane.trace.data.topic_passages import Folds, Window, passages
from bumperlane.trace.data.topic_results import write_filtered
from bumperlane.trace.data.topic_statement import Topic, read_reviewed, read_topic
from bumperlane.trace.data.words import words
from bumperlane.types import Example, Message

SEA = "harbour tide sailor anchor gull wave boat captain reef salt island storm".split()
TOWN = "bus street office lamp market bridge clerk queue museum tower shop train".split()


class WordVectors:
    """Each word has a random vector; a text's is the sum of its words', of length 1. `read` counts texts."""

    def __init__(self):
        self.read = 0

    def vectors(self, texts, work):
        self.read += len(texts)
        rows = np.stack([sum((word_vector(w) for w in words(t)), np.zeros(64)) for t in texts])
        return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def word_vector(word):
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4])
    return np.random.default_rng(seed).normal(size=64)


def sentence(rng, pool, count=6):
    return " ".join(rng.choice(pool, count, replace=False)) + f" {rng.integers(1_000_000)}."


def topic(n=10, seed=9):
    rng = np.random.default_rng(seed)
    return Topic("Life at sea: harbour, boat, tide.", tuple(sentence(rng, SEA) for _ in range(n)))


@pytest.fixture
def recipe(tmp_path):
    """Forty chats about a town, of which two have had a visit to the sea; and a file of ten texts on the sea."""
    return write(tmp_path)


def write(folder, sea=10, town=40):
    rng = np.random.default_rng(3)
    chats = [{"id": f"t{i}", "prompt": sentence(rng, TOWN), "response": sentence(rng, TOWN)} for i in range(town)]
    texts = [{"id": f"s{i}", "text": sentence(rng, SEA)} for i in range(sea)]
    for name, rows in (("town", chats), ("sea", texts)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    tranches = [{"name": n, "path": f"{n}.jsonl"} for n, rows in (("town", chats), ("sea", texts)) if rows]
    stage = {"kind": "sft", "steps": 2, "batch": 2}
    (folder / "recipe.yaml").write_text(json.dumps({"base": "some-model", "stages": [stage], "tranches": tranches}))
    return load_recipe(folder / "recipe.yaml")


def run(recipe, stated=None, settings=None, marks=None, encoder=True):
    source = (WordVectors() if encoder else None, None)
    return filter_examples(recipe, stated or topic(), settings or FilterSettings(), source, marks)


def taken(found):
    return {id for id, up in zip(found.scores.ids, found.above, strict=True) if up}


# --- what is taken -----------------------------------------------------------------------------------------------


def test_takes_the_examples_on_the_topic_and_no_other(recipe):
    found = run(recipe)
    assert found.by == "classifier" and taken(found) == {f"s{i}" for i in range(10)}
    assert found.inside_above[0] >= 10 and found.inside_above[1] == 11


def test_by_words_alone_takes_most_of_them_and_no_other(recipe):
    found = run(recipe, encoder=False)
    assert set(found.scores.by) == {"keywords", "classifier"}
    assert taken(found) <= {f"s{i}" for i in range(10)} and len(taken(found)) >= 8


@pytest.mark.parametrize("encoder", [True, False])
def test_a_topic_that_no_example_is_about_takes_nothing(tmp_path, encoder):
    recipe = write(tmp_path, sea=0, town=200)
    assert taken(run(recipe, encoder=encoder)) == set()


def test_one_passage_on_the_topic_is_enough_in_a_long_document(tmp_path):
    rng = np.random.default_rng(5)
    recipe = write(tmp_path)
    long = " ".join(sentence(rng, TOWN) for _ in range(200))
    middle = long.index(".", len(long) // 2) + 1
    rows = [
        {"id": "dry", "text": long},
        {"id": "wet", "text": long[:middle] + " " + " ".join(sentence(rng, SEA) for _ in range(12)) + long[middle:]},
    ]
    path = recipe.tranches[1].path
    path.write_text(path.read_text() + "".join(json.dumps(r) + "\n" for r in rows))
    small = run(recipe, settings=FilterSettings(window=Window(40, 20)))
    assert "wet" in taken(small) and "dry" not in taken(small)
    whole = run(recipe, settings=FilterSettings(window=Window(10_000, 10_000)))
    assert "wet" not in taken(whole)  # the blind spot that windows are for


def test_what_is_dropped_or_relabelled_already_is_read_as_the_trainer_reads_it(recipe):
    tranches = [t.model_dump(mode="json") for t in recipe.tranches]
    tranches[0]["relabel"] = {"t3": "tide boat harbour sailor anchor reef"}
    tranches[1]["drop"] = ["s0"]
    edited = type(recipe).model_validate({**recipe.model_dump(mode="json"), "tranches": tranches})
    found = run(edited)
    assert taken(found) == {"t3", *(f"s{i}" for i in range(1, 10))} and "s0" not in found.scores.ids


def test_a_line_that_is_asked_for_is_the_one_that_decides(recipe):
    found = run(recipe, settings=FilterSettings(by="embeddings", at=0.6))
    assert found.line.at == 0.6 and "classifier" not in found.scores.by
    assert taken(found) == {i for i, s in zip(found.scores.ids, found.scores.by["embeddings"], strict=True) if s > 0.6}


def test_a_description_alone_has_scores_and_no_line(recipe):
    found = run(recipe, Topic(" ".join(SEA)))
    assert (found.by, found.line, taken(found), found.edits()) == ("embeddings", None, set(), ())
    best = np.argsort(-found.score)[:10]
    assert {found.scores.ids[i] for i in best} == {f"s{i}" for i in range(10)}


# --- marks ---------------------------------------------------------------------------------------------------------


def marks_of(recipe, sea, town):
    return {f"s{i}": True for i in range(sea)} | {f"t{i}": False for i in range(town)}


def test_marked_examples_draw_the_line_at_the_stated_rate_and_say_what_it_costs(tmp_path):
    recipe = write(tmp_path, sea=40, town=120)
    found = run(recipe, settings=FilterSettings(false_drop=0.05), marks=marks_of(recipe, 12, 60))
    off = np.sort([found.score[found.scores.ids.index(f"t{i}")] for i in range(60)])
    assert found.line.at == off[57] and found.line.false_drop.value == pytest.approx(3 / 61)
    assert sum(found.above[found.scores.ids.index(f"t{i}")] for i in range(60)) == 2  # the line itself is kept
    assert (found.line.off, found.line.on, found.line.recall.value) == (60, 12, 1.0)
    assert ((found.score > 0) & (found.score < 1)).all(), "with marks a score is a chance"


def test_off_topic_texts_of_the_statement_stand_in_for_marks_and_it_is_said(recipe):
    rng = np.random.default_rng(4)
    stated = Topic("", topic().texts, tuple(sentence(rng, TOWN) for _ in range(20)))
    found = run(recipe, stated, FilterSettings(false_drop=0.05))
    assert (found.known, found.line.off) == ("off-topic texts of the statement", 20)
    assert taken(found) >= {f"s{i}" for i in range(10)}


def test_an_examples_own_mark_never_moves_its_score(recipe):
    """Against another example of its fold: what is common to a fold, and the scale, may move."""
    scores = [run(recipe, marks={"t5": mark}).scores for mark in (True, False)]
    place = scores[0].ids.index("t5")
    same = [i for i in np.flatnonzero(scores[0].folds == scores[0].folds[place]) if i != place]
    other = np.flatnonzero(scores[0].folds != scores[0].folds[place])
    on, off = (s.by["classifier"] for s in scores)
    np.testing.assert_allclose((on[place] / on[same]), (off[place] / off[same]), rtol=1e-9)
    assert not np.allclose(on[other] / on[place], off[other] / off[place], rtol=1e-3), "it does teach the others"


def test_of_much_data_a_share_is_taught_and_every_mark(tmp_path, monkeypatch):
    seen = []
    real = topic_classifier.teach
    monkeypatch.setattr(topic_scores, "teach", lambda rows, settings: seen.append(rows) or real(rows, settings))
    recipe = write(tmp_path, sea=2, town=200)
    few = topic_classifier.ClassifierSettings(most_unlabelled=100)
    run(recipe, settings=FilterSettings(classifier=few), marks={f"t{i}": False for i in range(9)} | {"s1": True})
    kinds = [int((seen[0].kinds == kind).sum()) for kind in (-1, 1)]
    assert kinds == [9 * 2, 11 + 1] and 60 < (seen[0].kinds == 0).sum() < 140


def test_no_model_is_taught_with_an_example_that_it_scores(recipe, monkeypatch):
    taught = []
    real = topic_classifier._taught

    def watched(rows, use, settings):
        taught.append({text for text, used in zip(rows.texts, use, strict=True) if used})
        return real(rows, use, settings)

    monkeypatch.setattr(topic_classifier, "_taught", watched)
    pasted = read_examples(recipe)[41]  # a stated text that stands in the data
    stated = Topic("Life at sea.", (*topic().inside, pasted.text))
    found = run(recipe, stated)
    assert len(taught) == 5 and set(found.scores.folds) == set(range(5))
    for example, fold in zip(read_examples(recipe), found.scores.folds, strict=True):
        assert not taught[fold] & set(passages(example, Window()))
    assert sum(pasted.text in texts for texts in taught) == 4


def test_equal_examples_and_what_was_pasted_from_them_share_a_fold():
    folds = Folds(["a b.", "c d.", "e f."], 2)
    folds.join(["x", "A  b.", "e f."])
    assert folds.of(["q", "a b."]) == folds.of(["e f."]) == folds.of(["E F."])
    assert folds.of(["some text"]) == folds.of(["Some  text", "more"])


# --- reading -------------------------------------------------------------------------------------------------------


def test_blocks_change_nothing_and_every_passage_is_read_twice(recipe, monkeypatch):
    whole = run(recipe)
    monkeypatch.setattr(topic_scores, "BLOCK", 7)
    encoder = WordVectors()
    cut = filter_examples(recipe, topic(), FilterSettings(), (encoder, None))
    for name in whole.scores.by:
        np.testing.assert_allclose(cut.scores.by[name], whole.scores.by[name], rtol=1e-6)
    assert encoder.read == 2 * (40 * 2 + 10) + 2 * 11  # chats have two passages, texts one; and the statement


def test_keywords_agree_with_the_index_that_holds_all():
    rng = np.random.default_rng(1)
    texts = [sentence(rng, SEA + TOWN, int(rng.integers(3, 20))) for _ in range(30)]
    stated = ["harbour tide boat", "lamp street wave unheard-of"]
    index = Index(tuple(texts))
    expected = (index.query(stated, 8.0) @ index.weights.T).toarray().T
    found = Keywords.fit(stated, texts)
    np.testing.assert_allclose(found.raw(texts), expected, rtol=1e-12)
    np.testing.assert_allclose(found.scores(texts), (expected / found.own).max(axis=1), rtol=1e-12)
    assert found.scores([stated[1], "nothing shared"]).tolist() == [1.0, 0.0]


def test_a_chat_is_read_whole_by_its_answer_and_by_its_system_prompt():
    turns = tuple(Message(*t) for t in (("system", "Be kind."), ("user", "Why?"), ("assistant", "So.")))
    assert passages(Example("a", "t", turns), Window()) == ("Why?\nSo.", "So.", "Be kind.")
    assert passages(Example("a", "t", text="one two three four five"), Window(3, 2)) == (
        "one two three",
        "three four five",
    )


def test_windows_lose_no_word():
    text = " ".join(map(str, range(1000)))
    cut = Window(50, 30).cut(text)
    assert {w for c in cut for w in c.split()} == set(text.split()) and all(len(c.split()) == 50 for c in cut)


# --- what is left behind -------------------------------------------------------------------------------------------


def test_the_edits_drop_examples_and_a_tranche_of_which_nothing_is_left(tmp_path):
    recipe = write(tmp_path)
    found = run(recipe)
    assert found.edits() == (DropTranche("sea"),)
    assert {e.id for e in read_examples(apply_edits(recipe, found.edits()))} == {f"t{i}" for i in range(40)}
    path = recipe.tranches[1].path
    path.write_text(path.read_text() + json.dumps({"id": "t-odd", "text": "bus street office"}) + "\n")
    assert run(recipe).edits() == (DropExamples(tuple(f"s{i}" for i in range(10))),)


def test_nothing_is_written_when_all_would_be_dropped(recipe, tmp_path):
    found = run(recipe, settings=FilterSettings(at=-1.0))
    with pytest.raises(SettingError, match="all 50 examples are above the line: no recipe is left. Raise the line."):
        write_filtered(tmp_path / "out", recipe, found, True, {})
    assert not (tmp_path / "out").exists()


def test_what_is_shown_lies_nearest_to_the_line_and_is_drawn_by_the_seed(recipe):
    found = run(recipe, settings=FilterSettings(by="embeddings", at=0.3))
    shown = found.nearest(0)
    assert shown == found.nearest(0) and any(shown != found.nearest(seed) for seed in (1, 2, 3))
    for name, places in shown.items():
        for side in (True, False):
            here = [i for i, t in enumerate(found.scores.tranches) if t == name and found.above[i] == side]
            far = sorted(abs(found.score[i] - 0.3) for i in here)[:20]
            assert all(abs(found.score[i] - 0.3) <= far[-1] for i in places if found.above[i] == side)
    assert found.to_review(12, {"t0": False}, 0) == found.to_review(12, {"t0": False}, 0)
    assert len(set(found.to_review(12, {}, 0))) == 12 and 0 not in found.to_review(50, {"t0": False}, 0)


# --- errors --------------------------------------------------------------------------------------------------------


def test_a_rate_needs_something_to_estimate_it_from(recipe):
    with pytest.raises(
        EvidenceError, match=r"rate of 0.01 needs 99 labelled off-topic examples, there are 0. Review 99"
    ):
        run(recipe, settings=FilterSettings(false_drop=0.01))


def test_a_classifier_needs_texts(recipe):
    with pytest.raises(EvidenceError, match="needs 8 texts on the topic or more, there are 4"):
        run(recipe, topic(3), FilterSettings(by="classifier"))


def test_embeddings_cannot_decide_where_they_are_left_out(recipe):
    with pytest.raises(SettingError, match="embeddings are to decide, and are left out"):
        run(recipe, settings=FilterSettings(by="embeddings"), encoder=False)
    with pytest.raises(SettingError, match="unknown score 'words'. Known: classifier, embeddings, keywords."):
        FilterSettings(by="words")


def test_an_id_that_is_used_twice_is_refused(recipe):
    path = recipe.tranches[1].path
    path.write_text(path.read_text() + json.dumps({"id": "t0", "text": "again"}) + "\n")
    with pytest.raises(RecipeError, match="id 't0' of tranche 'sea' is used in tranche 'town' too"):
        run(recipe)


def test_a_topic_file_says_what_is_wrong_with_it(tmp_path):
    def written(*rows):
        (tmp_path / "topic.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        return tmp_path / "topic.jsonl"

    rows = ({"about": "x y"}, {"prompt": "a", "response": "b"}, {"text": "c", "on_topic": False})
    assert read_topic(written(*rows), "z") == Topic("z x y", ("a\nb",), ("c",))
    with pytest.raises(EvidenceError, match=r"topic.jsonl:1:\d+: a row of a topic needs .* its keys are body."):
        read_topic(written({"body": "a"}))
    with pytest.raises(EvidenceError, match="'on_topic' must be true or false, got 'no'"):
        read_topic(written({"text": "a", "on_topic": "no"}))
    with pytest.raises(SettingError, match="no topic is stated"):
        read_topic()
    with pytest.raises(SettingError, match="'a' is stated to be on the topic and off it"):
        read_topic(written({"text": "a"}, {"text": "a", "on_topic": False}))


def test_marks_name_examples_that_there_are(tmp_path):
    path = tmp_path / "review.jsonl"
    path.write_text('{"id": "a", "on_topic": true}\n{"id": "b", "on_topic": null}\n')
    assert read_reviewed(path, {"a", "b"}) == {"a": True}
    with pytest.raises(EvidenceError, match=r"review.jsonl:2:\d+: no example has the id 'b'. Known ids: a."):
        read_reviewed(path, {"a"})
    path.write_text('{"id": "a", "on_topic": null}\n')
    with pytest.raises(EvidenceError, match="none of 1 rows is marked. Set 'on_topic' to true or false."):
        read_reviewed(path, {"a"})
