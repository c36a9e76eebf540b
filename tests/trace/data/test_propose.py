"""Which methods are asked, which examples they are shown, and what is done where none of them can be heard."""

from types import SimpleNamespace

import numpy as np
import pytest

import bumperlane.trace.data.propose as room
from bumperlane.errors import EvidenceError, ModelError, SettingError
from bumperlane.subjects.chat import Encoded
from bumperlane.trace.data.method import Corpus, Queries
from bumperlane.trace.data.propose import ProposalSettings, methods_asked, propose, sample_by_tranche
from bumperlane.types import Example, Message

CHAT = (Message("user", "ask"), Message("assistant", "answer"))
EXAMPLES = tuple(Example(f"{name}{i}", name, CHAT) for name in "abc" for i in range(12))
ROWS = tuple(Encoded(e.id, (1, 2, 3), 1) for e in EXAMPLES)
CORPUS = Corpus(EXAMPLES, ROWS)


class Plant:
    """A method that puts tranche a on top, and notes how many examples it was shown."""

    name = "plant"

    def __init__(self, shown):
        self.shown = shown

    def scores(self, material):
        self.shown.append(len(material.corpus.rows))
        rng = np.random.default_rng(0)
        high = np.array([e.tranche == "a" for e in material.corpus.examples])
        return (high + 0.1 * rng.normal(size=(2, len(high)))).astype(np.float32)


@pytest.fixture
def proposed(monkeypatch, tmp_path):
    """propose(), with methods of these names and weights; returns it and how many examples each was shown."""
    sides = (ROWS[:2], ROWS[2:4], (("p", "bad"),) * 2, (("p", "fine"),) * 2)
    monkeypatch.setattr(room, "corpus_of", lambda inv, tokenizer: CORPUS)
    monkeypatch.setattr(room, "outputs_of", lambda *a: None)
    monkeypatch.setattr(room, "contrasting", lambda outputs: outputs)
    monkeypatch.setattr(room, "queries_of", lambda *a: Queries(*sides))
    monkeypatch.setattr(room, "columns_of", lambda recipe: {"tranche": {e.id: e.tranche for e in EXAMPLES}})
    inv = SimpleNamespace(
        directory=tmp_path, say=lambda *a: None, subject=lambda: None, neutral=None, run=SimpleNamespace(recipe=None)
    )

    def of(**weights):
        shown = {name: [] for name in weights}
        for name in weights:
            monkeypatch.setitem(room.METHODS, name, lambda name=name: Plant(shown[name]))
        settings = ProposalSettings(tuple(weights), per_tranche=4)
        meter, subject = SimpleNamespace(told=True, told_apart=None), SimpleNamespace(tokenizer=None)
        heard = {name: (weight, "its trap") for name, weight in weights.items()}
        return propose(inv, meter, [subject], settings, lambda methods: heard), shown

    return of


def test_a_costly_method_is_shown_a_sample_where_a_cheap_one_sees_all(proposed):
    found, shown = proposed(representation=1.0, gradients=1.0)
    assert shown == {"representation": [36], "gradients": [12]}
    assert found.ranking.of("tranche")[0].name == "a"


@pytest.mark.parametrize("weights", [{"gradients": 1.0}, {"representation": 0.0, "gradients": 1.0}])
def test_a_costly_method_that_alone_is_heard_is_shown_everything(proposed, weights):
    found, shown = proposed(**weights)
    assert shown["gradients"] == [36] and found.ranking.of("tranche")[0].name == "a"


def test_without_any_method_that_is_heard_nothing_is_proposed(proposed):
    with pytest.raises(EvidenceError, match="no attribution method has weight .*representation: its trap"):
        proposed(representation=0.0)


def test_a_sample_takes_so_many_of_each_tranche_whatever_the_order():
    chosen = sample_by_tranche(CORPUS, 4)
    turned = Corpus(EXAMPLES[::-1], ROWS[::-1])
    assert len(chosen) == 12 and sample_by_tranche(CORPUS, 0) == list(range(36))
    assert {CORPUS.ids[i] for i in chosen} == {turned.ids[i] for i in sample_by_tranche(turned, 4)}


def test_embeddings_that_are_not_there_are_listed_unless_they_were_asked_for_by_name(monkeypatch):
    def gone(self):
        raise ModelError("no weights here. Fetch them.")

    monkeypatch.setattr(room.EmbeddingSimilarity, "encoder", property(gone))
    asked = methods_asked(ProposalSettings())
    assert "embeddings" not in asked.methods and "no weights here" in asked.missing[0].why
    with pytest.raises(ModelError, match="no weights here"):
        methods_asked(ProposalSettings(("embeddings",)))


def test_an_unknown_method_names_the_known_ones():
    with pytest.raises(SettingError, match="'bm52'. Known: representation, gradients"):
        ProposalSettings(("bm52",))
