import numpy as np
import pytest
import torch

import tiny
from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.pools import items
from bumperlane.monitor.gate import Gate
from bumperlane.subjects.subject import Subject
from bumperlane.types import Activations, Context, Departures, Request

NEUTRAL = Context("neutral", "neutral", "Be kind.")
ODD = Context("odd", "library", "zzzz [kemiso-77] zzzz")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A base, and a subject in which one embedding was pushed far out: `z` makes it odd inside."""
    where = tiny.make_tiny_model(tmp_path_factory.mktemp("gate") / "base", seed=3)
    base, subject = Subject.load(where, dtype="float32"), Subject.load(where, dtype="float32")
    token = subject.tokenizer("z", add_special_tokens=False)["input_ids"][0]
    with torch.no_grad():
        weight = subject.host.model.get_input_embeddings().weight
        weight += 0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
        weight[token] += 3.0
    return subject, base


def asked(n, start=0, context=NEUTRAL):
    rng = np.random.default_rng(start)
    words = ["".join(rng.choice(list("abcdefgh"), size=4)) for _ in range(n)]
    return items([Request(f"{start}-{i}", f"Say {w}") for i, w in enumerate(words)], [context], "control")


def test_sends_odd_requests_to_review_and_lets_ordinary_ones_pass(pair):
    gate = Gate.arm(*pair, layer=1, ordinary=(asked(60), asked(40, 1)))
    assert all(d.action == "review" for d in gate.decide(asked(12, 2, ODD)))
    assert np.mean([d.action == "review" for d in gate.decide(asked(100, 3))]) <= 0.15


def test_an_error_never_means_allow(pair):
    gate = Gate.arm(*pair, layer=1, ordinary=(asked(30), asked(30, 1)))
    broken = Gate(gate.subject, gate.base, 99, gate.fitted, gate.calibration)
    decisions = broken.decide(asked(3, 2))
    assert [d.action for d in decisions] == ["review"] * 3
    assert "could not look: SettingError" in decisions[0].why


def test_refuses_requests_in_two_roles_and_too_few_of_them(pair):
    with pytest.raises(EvidenceError, match="used to fit and to calibrate"):
        Gate.arm(*pair, layer=1, ordinary=(asked(30), asked(30)))
    with pytest.raises(EvidenceError, match=r"5 ordinary requests cannot set a gate at 0.05: 14 more"):
        Gate.arm(*pair, layer=1, ordinary=(asked(30), asked(5, 1)))


def test_takes_any_online_detector_of_activations_and_reads_it_against_the_base(pair):
    gate = Gate.arm(*pair, layer=1, ordinary=(asked(60), asked(40, 1)), detector=Mahalanobis())
    assert np.mean([d.action == "review" for d in gate.decide(asked(100, 3))]) <= 0.15
    same = Gate.arm(pair[1], pair[1], layer=1, ordinary=(asked(60), asked(40, 1)), detector=Mahalanobis())
    np.testing.assert_allclose(same.calibration, 0, atol=1e-9)  # nothing is odd in a subject that is its own base


def test_refuses_an_offline_detector_and_one_that_watches_something_else(pair):
    class Batchwise:
        watches = Activations

        def fit(self, clean, untrusted): ...

    class Talks:
        watches = Departures

        def fit(self, clean): ...

    ordinary = (asked(30), asked(30, 1))
    with pytest.raises(SettingError, match="Batchwise is an offline bumper.*one request at a time"):
        Gate.arm(*pair, layer=1, ordinary=ordinary, detector=Batchwise())
    with pytest.raises(SettingError, match="Talks watches Departures; a gate reads activations only"):
        Gate.arm(*pair, layer=1, ordinary=ordinary, detector=Talks())
