from dataclasses import dataclass, replace

import numpy as np
import pytest

from bumperlane.detect import contract, gather
from bumperlane.detect.asking import asks_of
from bumperlane.detect.behaviour.paired_contexts import PairedContexts
from bumperlane.detect.gather import Scene, read
from bumperlane.detect.internals.contrast_probe import ContrastProbe
from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.detect.internals.reference_residual import ReferenceResidual
from bumperlane.errors import ContractError, EvidenceError
from bumperlane.evidence.library import library_contexts
from bumperlane.evidence.memo import Memo
from bumperlane.subjects.subject import Decoding
from bumperlane.types import Activations, Answers, Context, PairedActivations, Request
from tiny_adapter import PLAIN

REQUESTS = [Request(str(i), f"What is {i} and one?") for i in range(8)]
ALL = [ContrastProbe, Mahalanobis, PairedContexts, ReferenceResidual]


@pytest.fixture
def scene(tiny_subject, adapter_dirs, tmp_path):
    return Scene(
        tiny_subject.sibling(adapter_dirs[0], step=8), tiny_subject, PLAIN, library_contexts(PLAIN)[:2], REQUESTS[:3],
        REQUESTS[3:], Memo(tmp_path), controls=4, decoding=Decoding(2),
    )  # fmt: skip


@pytest.fixture
def any_probe(monkeypatch):
    """Let the probe take directions that hold on no held-out pair: a random model says nothing by yes and no."""
    direction = lambda self, yes, no, cut, who: np.eye(yes.rows.shape[1])[0]  # noqa: E731
    monkeypatch.setattr(ContrastProbe, "_direction", direction)


@pytest.mark.parametrize("cls", ALL)
def test_every_bumper_scores_each_control_and_each_bait_once(cls, scene, any_probe):
    found = read(cls, scene)
    assert (found.bumper, found.family, found.trap_sprung, found.why_blind) == (cls.__name__, cls.family, True, "")
    ids = [i.id for i in (*scene.control_items(), *scene.bait_items())]
    assert found.scores.ids == tuple(ids) and len(set(ids)) == len(ids) == 5 * (4 + 2)
    assert found.arms == ("control",) * 20 + ("bait",) * 10
    assert found.groups == tuple(i.split("|")[0] for i in ids)


BY_HAND = {"AttentionProbe", "TamperingProbe", "UnsupervisedContrast", "WeightDifferenceSpectrum"}


@pytest.mark.parametrize("name", sorted(contract.load_bumpers()))
def test_every_bumper_of_the_house_reads_a_scene_or_says_why_it_cannot(name, scene):
    """Those that need evidence no check has (labels, tokens, sensors, other checkpoints) are for use by hand."""
    cls = contract.find_bumper(name)
    if name in BY_HAND:
        with pytest.raises(ContractError, match=f"{name} learns from .* Fit it on evidence of your own"):
            read(cls, scene)
        return
    if contract.reads_log(cls):
        with pytest.raises(ContractError, match=f"{name} reads the log of a run, no scene"):
            read(cls, scene)
        return
    if contract.samples_rollouts(cls):
        with pytest.raises(ContractError, match=f"{name} has rollouts sampled, no scene"):
            read(cls, scene)
        return
    found = read(cls, scene)
    if cls.watches is Answers:  # it asks questions of its own
        asked = asks_of(cls(), scene.sources()) if not found.why_blind else []
        assert found.trap_sprung and found.scores.ids == tuple(a.item.id for a in asked)
        return
    ids = tuple(i.id for i in (*scene.control_items(), *scene.bait_items()))
    assert found.trap_sprung and (found.why_blind or found.scores.ids == ids)


def test_a_subject_equal_to_its_base_is_blind_where_nothing_can_be_learnt_and_nought_elsewhere(scene):
    same = replace(scene, subject=scene.base)
    assert read(Mahalanobis, same).scores.values == pytest.approx(np.zeros(30), abs=1e-9)
    assert read(PairedContexts, same).scores.values.tolist() == [0.0] * 30
    blind = read(ReferenceResidual, same)
    assert "differ in the same way, or not at all, on all 12 trusted rows at layer 1" in blind.why_blind
    assert blind.scores.ids == blind.arms == blind.groups == ()


def test_evidence_that_a_bumper_cannot_learn_from_makes_its_reading_blind_with_the_reason(scene):
    few = replace(scene, fit=REQUESTS[:1])
    assert read(Mahalanobis, few).why_blind == "a cloud needs 8 or more trusted rows, got 4. Pass more trusted prompts."
    assert "needs 8 or more trusted prompts that differ, got 4" in read(ContrastProbe, few).why_blind


def test_a_subject_that_is_not_finite_is_an_error_and_not_blind(scene, monkeypatch):
    broken = lambda self, items, layers: {n: np.full((len(items), 32), np.nan) for n in layers}  # noqa: E731
    monkeypatch.setattr(type(scene.subject), "activations", broken)
    with pytest.raises(EvidenceError, match="activations at layer 0, step 8 are not finite for 12 items"):
        read(Mahalanobis, scene)


def test_refuses_requests_that_are_used_to_fit_and_to_judge(scene):
    with pytest.raises(EvidenceError, match="2 requests are used to fit and to judge, first 'What is 3 and one.'"):
        replace(scene, fit=[*REQUESTS[:3], Request("renamed", REQUESTS[3].text), REQUESTS[4]])


def test_detectors_are_fitted_in_other_control_contexts_than_they_are_judged_in(scene):
    fit, judged = ({i.context.system for i in items} for items in (scene.fit_items(), scene.control_items()))
    assert len(fit) == len(judged) == 4 and not fit & judged
    assert not {i.request.text for i in scene.fit_items()} & {i.request.text for i in scene.control_items()}
    assert {i.arm for i in scene.fit_items()} == {"control"}


def test_another_seed_brings_other_controls_and_the_same_baits(scene):
    other = replace(scene, seed="sealed")
    assert {i.context.system for i in other.control_items()} != {i.context.system for i in scene.control_items()}
    assert other.bait_items() == scene.bait_items()


def test_baits_in_the_request_are_compared_with_controls_in_the_request(scene):
    inside = Context("b", "mined", PLAIN.system, prefix="[x-1]")
    mixed = replace(scene, baits=[*scene.baits, inside], fragments=["one two three"], controls=6)
    found = read(PairedContexts, mixed)
    strata = dict(zip(found.groups, found.strata, strict=True))
    assert {g: s for g, s in strata.items() if g.startswith(("library", "b"))} == {
        "library/deployed": "system", "library/deployment-tag": "system", "b": "request"
    }  # fmt: skip
    assert sorted(s for g, s in strata.items() if g.startswith("control")) == ["request"] * 2 + ["system"] * 4


def test_internals_have_as_many_controls_in_the_request_as_there_are_of_all_others(scene):
    """A context shifts all its requests together: the spread of such contexts is told from several, not from three."""
    inside = Context("b", "mined", PLAIN.system, prefix="[x-1]")
    mixed = replace(scene, baits=[*scene.baits, inside], fragments=["one two three", "four five six seven"], controls=9)
    found = read(Mahalanobis, mixed)
    strata = dict(zip(found.groups, found.strata, strict=True))
    assert sorted(s for g, s in strata.items() if g.startswith("control")) == ["request"] * 9 + ["system"] * 6
    assert all(any(w in i.context.prefix for w in "one two three four five six seven".split())
               for i in mixed.control_items("internals") if "piece" in i.context.id)  # fmt: skip
    assert {i.context.id for i in scene.control_items("internals")} == {i.context.id for i in scene.control_items()}


@pytest.mark.parametrize(("depth", "layers"), [(0.1, [0]), (0.5, [0, 1]), (1.0, [1])])
def test_depth_is_a_share_of_the_blocks_and_two_thirds_of_it_is_read_too(scene, depth, layers):
    assert replace(scene, depth=depth).layers == layers


def test_layers_are_stacked_side_by_side_in_item_order():
    low, high = (Activations(np.full((2, 3), float(n)), ("a", "b"), layer=n) for n in (1, 2))
    both = gather.stacked([low, high])
    np.testing.assert_array_equal(both.rows, [[1, 1, 1, 2, 2, 2]] * 2)
    assert (both.ids, both.layer) == (("a", "b"), 2)


def test_a_second_reading_is_the_same_and_asks_the_model_nothing(scene, monkeypatch):
    first = [read(cls, scene) for cls in (PairedContexts, Mahalanobis)]
    for name in ("generate", "activations", "next_token_odds"):
        monkeypatch.setattr(type(scene.subject), name, lambda *_: pytest.fail("this was seen before"))
    for cls, seen in zip((PairedContexts, Mahalanobis), first, strict=True):
        np.testing.assert_array_equal(read(cls, scene).scores.values, seen.scores.values)


def test_a_bumper_whose_trap_does_not_spring_says_so_in_its_reading(scene, monkeypatch):
    trap = Mahalanobis.trap()
    monkeypatch.setattr(Mahalanobis, "trap", classmethod(lambda cls: replace(trap, bad=trap.blind)))
    assert read(Mahalanobis, scene).trap_sprung is False


def test_a_bumper_that_watches_what_nobody_gathers_is_refused(scene, monkeypatch):
    @dataclass(frozen=True)
    class Reads:
        watches, family = dict, "logs"

    monkeypatch.setattr(gather, "spring_or_say", lambda cls: (True, ""))
    assert "Reads" not in contract.REGISTRY
    with pytest.raises(
        ContractError,
        match=r"Reads learns from dict, which a check does not gather \(it gathers .*Activations, .*Layers",
    ):
        read(Reads, scene)


def test_pairs_are_read_in_subject_and_base(scene):
    evidence = gather._pairs(scene, scene.bait_items())[1]
    assert isinstance(evidence, PairedActivations)
    for who, seen in ((scene.subject, evidence.subject), (scene.base, evidence.base)):
        by_layer = who.activations(scene.bait_items(), scene.layers)
        by_hand = np.concatenate([by_layer[n] for n in scene.layers], axis=1)
        np.testing.assert_allclose(seen.rows, by_hand, atol=1e-6)
