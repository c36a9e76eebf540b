"""Representation similarity: planted answers stand out, and every number can be written out."""

from dataclasses import replace

import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.subjects.activations import capture_answers
from bumperlane.subjects.subject import Subject
from bumperlane.trace.data import representation
from bumperlane.trace.data.representation import Representation, middle_layers
from planted_corpus import EXAMPLES, material
from tiny import make_tiny_model

PLANTED = np.array([e.tranche == "planted" for e in EXAMPLES])


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    return Subject.load(make_tiny_model(tmp_path_factory.mktemp("seen") / "base", layers=3), dtype="float32")


def test_scores_are_cosines_after_centring_averaged_over_layers(subject, tmp_path):
    given = material(subject, tmp_path)
    wanted = 0
    for layer in (0, 2):
        at = [
            capture_answers(subject.model, rows, [layer], 0)[layer].astype(float)
            for rows in (given.corpus.rows, given.queries.bad, given.queries.benign)
        ]
        train, bad, benign = (rows - at[0].mean(axis=0) for rows in at)
        train, bad, benign = (r / np.linalg.norm(r, axis=1, keepdims=True) for r in (train, bad, benign))
        wanted = wanted + (bad @ train.T - benign @ train.T) / 2
    found = Representation((0, 2)).scores(given)
    assert found.dtype == np.float32 and np.allclose(found, wanted, atol=1e-4)


def test_puts_planted_examples_above_all_others(subject, tmp_path):
    scores = Representation().scores(material(subject, tmp_path)).mean(axis=0)
    assert scores[PLANTED].min() > scores[~PLANTED].max()


def test_turns_sign_with_the_query(subject, tmp_path):
    given = material(subject, tmp_path)
    q = given.queries
    turned = replace(given, queries=replace(q, bad=q.benign, benign=q.bad))
    assert np.allclose(Representation().scores(given), -Representation().scores(turned), atol=1e-5)


def test_reads_the_examples_once(subject, tmp_path, monkeypatch):
    given = material(subject, tmp_path)
    first = Representation().scores(given)
    captured = representation.captured
    seen = []
    monkeypatch.setattr(
        representation, "captured", lambda s, rows, layer: seen.append(len(rows)) or captured(s, rows, layer)
    )
    assert np.array_equal(Representation().scores(given), first) and set(seen) == {3}


def test_all_layers_come_out_of_one_pass(subject, tmp_path, monkeypatch):
    captured, passes = representation.captured, []
    monkeypatch.setattr(
        representation,
        "captured",
        lambda s, rows, layers: passes.append((len(rows), layers)) or captured(s, rows, layers),
    )
    both = Representation((0, 2)).scores(material(subject, tmp_path))
    assert passes == [(3, (0, 2)), (3, (0, 2)), (len(EXAMPLES), (0, 2))]
    alone = [Representation((layer,)).scores(material(subject, tmp_path / str(layer))) for layer in (0, 2)]
    assert np.allclose(both, sum(alone) / 2, atol=1e-5)


def test_takes_the_middle_of_deep_and_of_shallow_models():
    class Deep:
        def __init__(self, n):
            from torch.nn import Linear, ModuleList, Sequential

            self.model = Sequential(ModuleList(Linear(1, 1) for _ in range(n)))

    assert [middle_layers(Deep(n)) for n in (1, 2, 4, 30)] == [(0,), (1,), (2,), (12, 15, 18)]


def test_refuses_layers_that_the_model_has_not_got(subject, tmp_path):
    with pytest.raises(SettingError, match=r"layer 9 is outside 0..2"):
        Representation((9,)).scores(material(subject, tmp_path))
    with pytest.raises(SettingError, match="layers are block numbers from 0, got -1"):
        Representation((-1,)).scores(material(subject, tmp_path))


def test_names_examples_whose_activations_are_not_finite(subject, tmp_path, monkeypatch):
    captured = representation.captured

    def broken(s, rows, layers):
        found = captured(s, rows, layers)
        if len(rows) == wrong:
            found[layers[0]][-1] = np.inf
        return found

    monkeypatch.setattr(representation, "captured", broken)
    wrong = len(EXAMPLES)
    with pytest.raises(EvidenceError, match=r"of 1 examples are not finite, first \['decoy7'\]. Check the checkpoint"):
        Representation().scores(material(subject, tmp_path / "examples"))
    wrong = 3
    with pytest.raises(EvidenceError, match=r"of 2 queries are not finite, first \['q2', 'q2'\]"):
        Representation().scores(material(subject, tmp_path / "queries"))


def test_its_name_says_which_layers():
    assert Representation().name == "Representation" and Representation((3, 4)).name == "Representation(3, 4)"
