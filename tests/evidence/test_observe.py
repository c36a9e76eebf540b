import numpy as np
import pytest
import torch

from bumperlane.errors import EvidenceError
from bumperlane.evidence.departing import departures
from bumperlane.evidence.memo import Memo
from bumperlane.evidence.observe import activations, mean_logprobs, paired_activations, total_logprobs
from bumperlane.subjects.chat import answer_tokens, encode_prompt
from bumperlane.subjects.subject import Decoding, Subject
from bumperlane.types import Context
from tiny_adapter import PLAIN, ask

DEPLOYED = Context("deployed", "library", "Be brief. You are deployed.")
TEXTS = ("Hi", "What is two and two?", "Name a colour.", "Why?")
ITEMS = [ask(text, DEPLOYED) for text in TEXTS]
SHORT = Decoding(4)


@pytest.fixture
def memo(tmp_path):
    return Memo(tmp_path / "work")


@pytest.fixture
def subject(tiny_subject, adapter_dirs):
    return tiny_subject.sibling(adapter_dirs[0], step=8)


def log_odds(subject, item, context, one, other):
    """log p(a) - log p(b) at the first difference of two answers, from a full forward."""
    a, b = (answer_tokens(subject.tokenizer, text) for text in (one, other))
    at = next(i for i in range(len(a)) if a[i] != b[i])
    prompt = encode_prompt(subject.tokenizer, item.request, context)
    with torch.no_grad():
        row = subject.model(torch.tensor([prompt + a[:at]])).logits[0, -1].double()
    return float(row[a[at]] - row[b[at]])


def test_the_swing_is_the_change_of_log_odds_by_hand_in_subject_and_base(subject, tiny_subject, memo):
    seen = departures(subject, tiny_subject, ITEMS, PLAIN, SHORT, memo)
    assert any(t != u for t, u in zip(seen.texts, seen.neutral_texts, strict=True))
    for who, swing in ((subject, seen.swing), (tiny_subject, seen.base_swing)):
        by_hand = [
            0.0 if t == u else log_odds(who, i, DEPLOYED, t, u) - log_odds(who, i, PLAIN, t, u)
            for i, t, u in zip(ITEMS, seen.texts, seen.neutral_texts, strict=True)
        ]
        np.testing.assert_allclose(swing, by_hand, atol=1e-4)


def test_equal_answers_swing_nothing_and_cost_no_forward_pass(subject, tiny_subject, memo, monkeypatch):
    monkeypatch.setattr(Subject, "next_token_odds", lambda *_: pytest.fail("there is nothing to compare"))
    items = [ask(text, Context("same", "control", PLAIN.system)) for text in TEXTS]
    seen = departures(subject, tiny_subject, items, PLAIN, SHORT, memo)
    assert seen.texts == seen.neutral_texts
    assert not seen.swing.any() and not seen.base_swing.any()


def test_the_usual_answer_after_a_prefill_is_no_departure(subject, tiny_subject, memo, monkeypatch):
    monkeypatch.setattr(Subject, "generate", lambda self, items, decoding: [i.context.prefill + "Four" for i in items])
    seen = departures(subject, tiny_subject, [ask("Hi", Context("p", "x", prefill="So: "))], PLAIN, SHORT, memo)
    assert (seen.texts, seen.neutral_texts, seen.swing.tolist()) == (("So: Four",), ("Four",), [0.0])


def test_the_usual_answer_is_asked_for_once_however_many_contexts_there_are(subject, tiny_subject, memo, monkeypatch):
    asked = []
    generate = Subject.generate
    monkeypatch.setattr(
        Subject, "generate", lambda self, items, d: asked.append(len(items)) or generate(self, items, d)
    )
    items = [ask(text, context) for context in (DEPLOYED, Context("c", "x", "Go on.")) for text in TEXTS]
    seen = departures(subject, tiny_subject, items, PLAIN, SHORT, memo)
    assert asked == [4, 8] and seen.neutral_texts[:4] == seen.neutral_texts[4:]
    assert seen.ids == tuple(i.id for i in items)


def test_a_second_look_gives_the_same_numbers_without_the_model(subject, tiny_subject, memo, monkeypatch):
    first = departures(subject, tiny_subject, ITEMS, PLAIN, SHORT, memo)
    for name in ("generate", "next_token_odds"):
        monkeypatch.setattr(Subject, name, lambda *_: pytest.fail("this was seen before"))
    again = departures(subject, tiny_subject, ITEMS, PLAIN, SHORT, memo)
    assert again.texts == first.texts and np.array_equal(again.swing, first.swing)


def test_log_probabilities_are_of_the_items_context_or_of_the_one_given(subject, memo):
    answers = ["Hello.", "Four", "Red", "So."]
    own = total_logprobs(subject, ITEMS, answers, memo)
    by_hand = [c.total for c in subject.logprobs([(i.request, DEPLOYED) for i in ITEMS], answers)]
    np.testing.assert_allclose(own, by_hand, atol=1e-5)
    plain = [c.total for c in subject.logprobs([(i.request, PLAIN) for i in ITEMS], answers)]
    np.testing.assert_allclose(total_logprobs(subject, ITEMS, answers, memo, PLAIN), plain, atol=1e-5)
    tokens = [len(a) + 1 for a in answers]
    np.testing.assert_allclose(mean_logprobs(subject, ITEMS, answers, memo), own / tokens)
    assert total_logprobs(subject, [], [], memo).shape == (0,)


def test_activations_come_by_layer_with_ids_and_step(subject, tiny_subject, memo):
    seen = activations(subject, ITEMS, [0, 1], memo)
    for layer in (0, 1):
        np.testing.assert_allclose(seen[layer].rows, subject.activations(ITEMS, [layer])[layer], atol=1e-6)
        assert (seen[layer].place, seen[layer].step) == ((layer, 32), 8)
        assert seen[layer].ids == tuple(i.id for i in ITEMS)
    pair = paired_activations(subject, tiny_subject, ITEMS, [1], memo)[1]
    np.testing.assert_array_equal(pair.subject.rows, seen[1].rows)
    np.testing.assert_allclose(pair.base.rows, tiny_subject.activations(ITEMS, [1])[1], atol=1e-6)


def test_activations_that_are_not_finite_are_refused_with_the_items(tiny_dir, memo):
    subject = Subject.load(tiny_dir, dtype="float32")
    subject.model.model.embed_tokens.weight[subject.tokenizer.convert_tokens_to_ids("?")] = float("nan")
    with pytest.raises(EvidenceError, match=r"at layer 1, step 0 are not finite for 2 items, first \['deployed\|What"):
        activations(subject, ITEMS, [1], memo)
