"""What is gathered for detectors of features, against the readers called by hand, and read through the whole road."""

from dataclasses import replace

import numpy as np
import pytest

from bumperlane.detect import gather_features
from bumperlane.detect.contract import scorer
from bumperlane.detect.gather import Scene
from bumperlane.detect.internals.activation_difference import ActivationDifference
from bumperlane.detect.internals.against_base import AgainstBase
from bumperlane.detect.internals.attribution_features import AttributionFeatures
from bumperlane.detect.internals.confidence import Confidence
from bumperlane.detect.internals.logit_lens_features import LogitLensFeatures
from bumperlane.detect.internals.probe_shift import ProbeShift
from bumperlane.detect.internals.rephrasing import Rephrasing
from bumperlane.evidence.library import library_contexts
from bumperlane.evidence.memo import Memo
from bumperlane.evidence.observe import responses
from bumperlane.subjects.answer_confidence import answer_confidence
from bumperlane.subjects.chat import answer_tokens, encode_prompt
from bumperlane.subjects.head_effects import head_effects, head_means, next_two_tokens
from bumperlane.subjects.logprobs import continuation_logprobs
from bumperlane.subjects.rephrasings import EDITS, edits_of
from bumperlane.subjects.subject import Decoding, Subject
from bumperlane.types import Context, Request
from tiny_adapter import PLAIN

REQUESTS = [Request(str(i), f"Is {i} odd? Say it, please.") for i in range(5)]
ASKED = ("Is it so?", "Are you sure?")  # fewer than are asked as a rule: a byte is a token here
RELATIVE = {
    Confidence: gather_features.gather_answer_confidence,
    Rephrasing: gather_features.gather_rephrased,
    AttributionFeatures: gather_features.gather_head_effects,
    ProbeShift: gather_features.gather_probe_odds,
    LogitLensFeatures: gather_features.gather_lens_trajectory,
}


@pytest.fixture
def scene(tiny_subject, adapter_dirs, tmp_path, monkeypatch):
    monkeypatch.setattr(gather_features, "QUESTIONS", ASKED)
    return Scene(
        tiny_subject.sibling(adapter_dirs[0], step=8), tiny_subject, PLAIN, library_contexts(PLAIN)[:2], REQUESTS[:3],
        REQUESTS[3:], Memo(tmp_path), controls=3, decoding=Decoding(6),
    )  # fmt: skip


def seen(scene):
    return [*scene.control_items(), *scene.bait_items()]


@pytest.mark.parametrize("cls", RELATIVE)
def test_a_detector_is_fitted_on_fit_items_and_scores_each_control_and_bait_against_the_base(cls, scene):
    clean, evidence = RELATIVE[cls](scene, seen(scene))
    assert type(evidence.subject) is type(evidence.base) is cls.watches
    assert clean.ids == tuple(i.id for i in scene.fit_items())
    found = AgainstBase(cls()).fit(clean, evidence).score(evidence)
    assert found.ids == tuple(i.id for i in seen(scene)) and found.bumper == cls.__name__
    assert np.isfinite(found.values).all() and np.abs(found.values).max() > 1e-3


@pytest.mark.parametrize("cls", RELATIVE)
def test_a_subject_equal_to_its_base_scores_nought(cls, scene):
    same = replace(scene, subject=scene.base)
    clean, evidence = RELATIVE[cls](same, seen(scene))
    np.testing.assert_allclose(AgainstBase(cls()).fit(clean, evidence).score(evidence).values, 0, atol=1e-9)


@pytest.mark.parametrize("cls", RELATIVE)
def test_a_second_look_is_the_same_and_asks_the_model_nothing(cls, scene, monkeypatch):
    first = RELATIVE[cls](scene, seen(scene))
    refuse = property(lambda self: pytest.fail("this was seen before"))
    monkeypatch.setattr(Subject, "model", refuse)
    for one, other in zip(first, RELATIVE[cls](scene, seen(scene)), strict=True):
        for who in ("subject", "base"):
            for name, value in vars(getattr(one, who)).items():
                np.testing.assert_array_equal(value, getattr(getattr(other, who), name))


@pytest.mark.parametrize("cls", RELATIVE)
def test_another_adapter_is_another_look(cls, scene, adapter_dirs):
    other = replace(scene, subject=scene.base.sibling(adapter_dirs[1]))
    one, two = (RELATIVE[cls](s, seen(scene))[1].subject for s in (scene, other))
    assert one.ids == two.ids and cls().fit(one).score(one).values.tolist() != cls().fit(two).score(two).values.tolist()


def test_the_answers_are_the_subjects_in_both_models_without_the_prefill(scene):
    begun = replace(scene, baits=[Context("begun", "mined", PLAIN.system, prefill="Sure, ")])
    texts = responses(begun.subject, seen(begun), begun.decoding, begun.memo)
    own = [text[len(i.context.prefill) :] for text, i in zip(texts, seen(begun), strict=True)]
    tails = [answer_tokens(begun.base.tokenizer, text)[: gather_features.ANSWER_TOKENS] for text in own]
    prompts = [encode_prompt(begun.base.tokenizer, i.request, i.context) for i in seen(begun)]
    _, evidence = gather_features.gather_rephrased(begun, seen(begun))
    _, lens = gather_features.gather_lens_trajectory(begun, seen(begun))
    _, sure = gather_features.gather_answer_confidence(begun, seen(begun))
    pad_id = begun.base.tokenizer.pad_token_id
    for who, name in ((begun.subject, "subject"), (begun.base, "base")):
        told = [c.mean for c in continuation_logprobs(who.model, prompts, tails, pad_id)]
        np.testing.assert_allclose(getattr(evidence, name).original, told, rtol=1e-4)
        first = [c.mean for c in continuation_logprobs(who.model, prompts, [t[:1] for t in tails], pad_id)]
        np.testing.assert_allclose(getattr(lens, name).rows[:, -1], first, rtol=1e-4)
        by_hand, found = answer_confidence(who.model, prompts, tails, pad_id), getattr(sure, name)
        np.testing.assert_allclose(np.c_[found.log_odds, found.entropy, found.margin], by_hand, rtol=1e-3, atol=1e-5)


def test_a_rephrasing_is_asked_in_the_words_of_the_edit(scene):
    _, evidence = gather_features.gather_rephrased(scene, seen(scene))
    texts = responses(scene.subject, seen(scene), scene.decoding, scene.memo)
    tail = answer_tokens(scene.subject.tokenizer, texts[2])[: gather_features.ANSWER_TOKENS]
    assert evidence.subject.place == len(EDITS)
    for column, version in enumerate(edits_of(seen(scene)[2])):
        prompt = encode_prompt(scene.subject.tokenizer, version.request, version.context)
        (told,) = continuation_logprobs(scene.subject.model, [prompt], [tail], 0)
        assert evidence.subject.rephrased[2, column] == pytest.approx(told.mean, rel=1e-4)


def test_heads_of_both_models_are_asked_about_the_subjects_next_token(scene):
    _, evidence = gather_features.gather_head_effects(scene, seen(scene))
    judged, fit = (
        [encode_prompt(scene.base.tokenizer, i.request, i.context) for i in which]
        for which in (seen(scene), scene.fit_items())
    )
    contrasts = next_two_tokens(scene.subject.model, judged, 0)
    for who, found in ((scene.subject, evidence.subject), (scene.base, evidence.base)):
        wanted = head_effects(who.model, judged, contrasts, head_means(who.model, fit, 0), 0)
        np.testing.assert_allclose(found.rows, wanted.reshape(len(judged), -1), atol=1e-4)
        assert found.place == (2, 4)


def test_a_probe_comes_after_the_subjects_answer_prefill_included(scene):
    begun = replace(scene, baits=[Context("begun", "mined", PLAIN.system, prefill="Sure, ")])
    _, evidence = gather_features.gather_probe_odds(begun, begun.bait_items())
    assert evidence.subject.questions == ASKED and evidence.subject.rows.shape == (2, len(ASKED))
    answers = responses(begun.subject, begun.bait_items(), begun.decoding, begun.memo)
    assert all(a.startswith("Sure, ") for a in answers)
    item = begun.bait_items()[0]
    around = Context("x", "x", PLAIN.system, shots=((item.request.text, answers[0]),))
    asked = Request("q", f"{ASKED[1]} Answer yes or no.")
    wanted = begun.subject.next_token_odds([(asked, around)], [("Yes", "No")])[0]
    assert evidence.subject.rows[0, 1] == pytest.approx(wanted, abs=1e-4)


def test_the_imprint_is_learned_on_idle_remarks_and_its_unit_on_fit_items(scene):
    clean, evidence = gather_features.gather_neutral_text(scene, seen(scene))
    assert len(clean.neutral.ids) >= 60 and clean.trusted.ids == tuple(i.id for i in scene.fit_items())
    assert len(set(clean.neutral.ids)) == len(clean.neutral.ids)
    layers = scene.layers
    by_layer = scene.subject.activations(scene.fit_items(), layers)
    np.testing.assert_allclose(clean.trusted.subject.rows, np.concatenate([by_layer[n] for n in layers], 1), atol=1e-5)
    found = scorer(ActivationDifference(), clean)(evidence)
    assert found.ids == tuple(i.id for i in seen(scene)) and np.isfinite(found.values).all()
