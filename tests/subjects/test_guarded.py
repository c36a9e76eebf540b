"""Guards: what a user meets changes in the stated way, the weights do not, and no memory of one is the other's."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from bumperlane.errors import SettingError
from bumperlane.evidence.memo import Memo, subject_key
from bumperlane.evidence.observe import mean_logprobs, responses
from bumperlane.subjects.activation_noise import ActivationNoise
from bumperlane.subjects.chat import answer_tokens, encode_prompt
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.guarded import GuardedSubject, LogitPenalty, OutputFilter, SystemPrompt, guarded
from bumperlane.subjects.head import head_of
from bumperlane.types import Context, Item, Request

PLAIN, BRIEF = Context("plain", "neutral"), Context("brief", "neutral", "Be brief.")
SHORT = Decoding(max_new_tokens=6)
FORBID = SystemPrompt("Never say red.")


def asked(*texts, context=BRIEF):
    return [Item(f"i{n}", context.id, "control", Request(f"r{n}", text), context) for n, text in enumerate(texts)]


ITEMS = asked("what colour is it?", "name an animal", "count to three")


@pytest.fixture(scope="module")
def subject(tiny_subject, adapter_dirs):
    """With an adapter: the bare tiny model says the same thing to everybody."""
    return tiny_subject.sibling(adapter_dirs[0], 7)


@pytest.fixture(scope="module")
def said(subject):
    return subject.generate(ITEMS, SHORT)


def test_a_system_prompt_stands_before_the_one_that_is_there(subject, said):
    prompted = guarded(subject, FORBID)
    by_hand = asked(*(i.request.text for i in ITEMS), context=Context("x", "x", "Never say red.\nBe brief."))
    assert prompted.generate(ITEMS, SHORT) == subject.generate(by_hand, SHORT)
    assert prompted.encode(ITEMS[0]) == subject.encode(by_hand[0])
    assert prompted.encode(asked("x", context=PLAIN)[0]).tokens == tuple(
        encode_prompt(subject.tokenizer, Request("x", "x"), Context("y", "y", "Never say red."))
    )


def test_a_system_prompt_reaches_log_probabilities_odds_and_activations(subject):
    prompted = guarded(subject, FORBID)
    context = Context("x", "x", "Never say red.\nBe brief.")
    pairs, placed = [(i.request, BRIEF) for i in ITEMS], [(i.request, context) for i in ITEMS]
    answers = ["red", "cat", "one"]
    assert prompted.logprobs(pairs, answers) == subject.logprobs(placed, answers)
    assert prompted.logprobs(pairs, answers) != subject.logprobs(pairs, answers)
    two = [("red", "cat")] * 3
    assert np.array_equal(prompted.next_token_odds(pairs, two), subject.next_token_odds(placed, two))
    by_hand = asked(*(i.request.text for i in ITEMS), context=context)
    ours, theirs = prompted.activations(ITEMS, [1])[1], subject.activations(by_hand, [1])[1]
    assert np.array_equal(ours, theirs) and not np.array_equal(ours, subject.activations(ITEMS, [1])[1])


def test_a_filter_replaces_answers_that_hold_a_bad_output_and_no_others(subject, said):
    assert len(set(said)) > 1
    behind = guarded(subject, OutputFilter((f"  {said[0].upper()} ",), "No."))
    assert behind.generate(ITEMS, SHORT) == ["No." if s == said[0] else s for s in said]


def test_a_filter_reads_the_begun_answer_along_and_leaves_it_standing():
    guard = OutputFilter(("none of those",), "No.")
    assert guard.let_through("well: none  of THOSE, I fear", "well:") == "well:No."
    assert guard.let_through("well: none of these", "well:") == "well: none of these"


def test_log_probabilities_and_internals_see_through_a_filter(subject, said):
    behind = guarded(subject, OutputFilter((said[0],), "No."))
    pairs = [(i.request, BRIEF) for i in ITEMS]
    assert behind.logprobs(pairs, said) == subject.logprobs(pairs, said)
    assert np.array_equal(behind.activations(ITEMS, [1])[1], subject.activations(ITEMS, [1])[1])


def test_a_penalty_is_taken_from_the_logits_before_they_are_normalised(subject):
    """Against the formula: log p' = logit - penalty if penalised, less the log-sum-exp of all lowered logits."""
    tokens = answer_tokens(subject.tokenizer, "red", closed=False)
    lowered = guarded(subject, LogitPenalty((tokens[0],), 3.0))
    prompt = encode_prompt(subject.tokenizer, ITEMS[0].request, BRIEF)
    with torch.no_grad():
        ids = torch.tensor([[*prompt, *tokens[:-1]]])
        logits = subject.model(input_ids=ids).logits[0, len(prompt) - 1 :].double()
    logits[:, tokens[0]] -= 3.0
    expected = sum(float(row[t] - row.logsumexp(0)) for row, t in zip(logits, tokens, strict=True))
    (found,) = lowered.logprobs([(ITEMS[0].request, BRIEF)], ["red"], closed=False)
    assert found.total == pytest.approx(expected, abs=1e-4)


def test_a_penalty_moves_the_odds_of_two_answers_by_just_that_much(subject):
    first = answer_tokens(subject.tokenizer, "red", closed=False)[0]
    pairs, two = [(i.request, BRIEF) for i in ITEMS], [("red", "cat")] * 3
    bare, lowered = (
        who.next_token_odds(pairs, two) for who in (subject, guarded(subject, LogitPenalty((first,), 2.5)))
    )
    assert bare - lowered == pytest.approx(np.full(3, 2.5), abs=1e-4)


def test_a_large_penalty_keeps_its_tokens_out_of_answers_and_out_of_nothing_else(subject, said):
    tokens = tuple(sorted(generated(subject)))
    lowered = guarded(subject, LogitPenalty(tokens, 1000.0))
    assert generated(lowered) and not generated(lowered) & set(tokens)
    assert all(ours != theirs for ours, theirs in zip(lowered.generate(ITEMS, SHORT), said, strict=True))
    assert np.array_equal(lowered.activations(ITEMS, [1])[1], subject.activations(ITEMS, [1])[1])


def generated(who):
    """Token ids of all answers."""
    return {t for d in who.stream_decoding(ITEMS, [1], SHORT) for s in d.sequences for t in s.tokens[s.answer_start :]}


def test_after_a_call_and_after_an_error_siblings_have_the_bare_head_again(subject, said):
    lowered = guarded(subject, LogitPenalty((5,), 9.0))
    lowered.generate(ITEMS, SHORT)
    with pytest.raises(Exception, match="continuations"):
        lowered.logprobs([(ITEMS[0].request, BRIEF)], [""], closed=False)
    assert not head_of(subject.model)._forward_hooks and subject.generate(ITEMS, SHORT) == said


def test_between_two_batches_of_a_stream_siblings_have_the_bare_head(subject):
    stream = guarded(subject, LogitPenalty((5,), 1000.0)).stream_decoding(ITEMS, [1], SHORT)
    assert len(next(stream).sequences) == len(ITEMS)
    assert not head_of(subject.model)._forward_hooks and list(stream) == []


def test_no_memory_of_one_deployment_is_taken_for_another(subject, tmp_path, said):
    guards = [
        (FORBID,), (SystemPrompt("Never say blue."),), (OutputFilter((said[0],), "No."),),
        (OutputFilter((said[0],), "Nope."),), (OutputFilter((said[0], "x"), "No."),), (LogitPenalty((5,), 9.0),),
        (LogitPenalty((6,), 9.0),), (LogitPenalty((5,), 8.0),), (FORBID, LogitPenalty((5,), 9.0)),
    ]  # fmt: skip
    keys = [subject_key(subject), *(subject_key(guarded(subject, *g)) for g in guards)]
    assert len(set(keys)) == len(keys)
    assert keys[1] == subject_key(guarded(subject, FORBID))
    memo = Memo(tmp_path)
    behind = guarded(subject, OutputFilter((said[0],), "No."))
    for _ in range(2):
        assert responses(subject, ITEMS, SHORT, memo) == said
        assert responses(behind, ITEMS, SHORT, memo)[0] == "No."
    lowered = guarded(subject, LogitPenalty((5,), 9.0))
    ours, theirs = (mean_logprobs(who, ITEMS, said, memo) for who in (lowered, subject))
    assert not np.array_equal(ours, theirs)


def test_guards_add_up_and_a_noised_subject_keeps_them(subject, said):
    one = guarded(subject, FORBID)
    both = guarded(one, OutputFilter((one.generate(ITEMS, SHORT)[0],), "No."))
    assert isinstance(both, GuardedSubject) and len(both.guards) == 2
    assert both.generate(ITEMS, SHORT)[0] == "No." and one.generate(ITEMS, SHORT)[0] != "No."
    with ActivationNoise(1e-6).applied(both) as noised:
        assert noised.generate(ITEMS, SHORT)[0] == "No." and subject_key(noised) != subject_key(both)


def test_a_guard_keeps_adapter_and_step_and_siblings_of_it_are_bare(subject, adapter_dirs):
    behind = guarded(subject, LogitPenalty((5,), 9.0))
    assert behind.step == 7 and behind.adapter == subject.adapter
    other = behind.sibling(adapter_dirs[1])
    assert type(other) is type(subject) and subject_key(other) == subject_key(subject.sibling(adapter_dirs[1]))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SystemPrompt("  "), "the system prompt of a guard is empty"),
        (lambda: OutputFilter((), "No."), "needs outputs that are not empty"),
        (lambda: OutputFilter(("ok", " "), "No."), "needs outputs that are not empty"),
        (lambda: OutputFilter(("no",), "No."), "holds 'no' itself"),
        (lambda: LogitPenalty((), 1.0), "needs token ids of 0 or more"),
        (lambda: LogitPenalty((3,), 0.0), "must be a number above 0, got 0.0"),
        (lambda: LogitPenalty((3,), float("inf")), "must be a number above 0"),
    ],
)
def test_refuses_guards_that_could_do_nothing(make, text):
    with pytest.raises(SettingError, match=text):
        make()


def test_refuses_a_token_that_the_model_does_not_have_and_bare_tensors(subject):
    with pytest.raises(SettingError, match="token 99999 is not among the"):
        guarded(subject, LogitPenalty((99999,), 1.0))
    with pytest.raises(SettingError, match="asked in words"):
        guarded(subject, FORBID).activations(torch.zeros(1, 2), [0])


def test_guards_are_frozen_values():
    assert asdict(LogitPenalty((1, 2), 3.0)) == {"tokens": (1, 2), "nats": 3.0}
    assert LogitPenalty((1, 2), 3.0) == LogitPenalty((1, 2), 3.0)
