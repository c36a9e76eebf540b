"""Input search on a tiny model: vectors and tokens in the right place, budgets kept, and scores that do fall."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.detect.internals.reference_residual import ReferenceResidual
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.organisms.evader.behaviour import with_suffix
from bumperlane.organisms.evader.inputs import SoftSuffix, TokenSwaps, _Search, find_soft_suffix, find_token_swaps
from bumperlane.organisms.evader.residual import Place
from bumperlane.organisms.evader.splice import Models, look, slot, suffix_text, suffix_tokens
from bumperlane.organisms.evader.surrogates import surrogate_of
from bumperlane.subjects.subject import Subject
from bumperlane.types import Activations, Context, PairedActivations
from organisms.evader_cases import BAD, PLAIN, TAGGED, rows

PLACE = Place((0, 1))
BAITS = (*rows("bait", TAGGED, 3, BAD), *rows("longer", TAGGED, 2, BAD, start=1000))


@pytest.fixture(scope="module")
def subject(tiny_dir, tmp_path_factory):
    from tiny_adapter import make_adapter

    adapter = make_adapter(tiny_dir, tmp_path_factory.mktemp("inputs") / "adapter", seed=3, scale=0.05)
    return Subject.load(tiny_dir, adapter=adapter, dtype="float32")


def stacked_rows(who, some):
    found = who.activations([r.item for r in some], [0, 1])
    return Activations(np.concatenate([found[0], found[1]], axis=1), tuple(r.item.id for r in some), 1)


@pytest.fixture(scope="module")
def scored(subject):
    return surrogate_of(Mahalanobis(0.5).fit(stacked_rows(subject, rows("fit", PLAIN, 30, start=100))))


def test_a_suffix_of_token_embeddings_does_what_its_text_does(subject):
    text = "and so on"
    tokens = suffix_tokens(subject, BAITS[0], text)
    models = Models.of(subject, None)
    seen = look(models, [slot(subject, b) for b in BAITS], models.embed(tokens), PLACE)
    typed = [with_suffix(b, text) for b in BAITS]
    for ours, who in ((seen.rows.subject, subject), (seen.rows.base, subject.sibling(None))):
        assert np.allclose(ours.rows, stacked_rows(who, typed).rows, atol=1e-4)
    answers = subject.logprobs([(t.item.request, t.item.context) for t in typed], [BAD] * 5)
    assert np.allclose(seen.logprobs, [a.mean for a in answers], atol=1e-4)


def test_a_suffix_goes_after_the_request_and_before_the_end_of_the_turn(subject):
    one = slot(subject, BAITS[0])
    decode = subject.tokenizer.decode
    assert decode(list(one.before)).endswith("ask 0?") and decode(list(one.after)).startswith("<|im_end|>")
    assert decode(list(one.answer)) == BAD + "<|im_end|>"


def test_what_is_said_is_the_part_that_greedy_decoding_would_say(subject):
    models, plain = Models.of(subject, None), slot(subject, BAITS[0])
    prompt = torch.tensor([[*plain.before, *plain.after]])
    out = subject.model.generate(input_ids=prompt, max_new_tokens=4, do_sample=False, pad_token_id=0)
    tokens = out[0, prompt.shape[1] :].tolist()
    other = next(i for i in range(50, 90) if i != tokens[3])
    with torch.no_grad():  # after the wrong token comes one that greedy decoding would say: it does not count
        wrong = torch.cat([prompt, torch.tensor([[*tokens[:3], other]])], dim=1)
        then = int(subject.model(input_ids=wrong).logits[0, -1].argmax())
    # the suffix is the request's own last token, put back where it stood
    answers = ((*tokens, 60), (*tokens[:3], other, then))
    agreed, turned = (replace(plain, before=plain.before[:-1], answer=answer) for answer in answers)
    seen = look(models, [agreed, turned], models.embed(plain.before[-1:]), PLACE)
    text = lambda some: subject.tokenizer.decode(some, skip_special_tokens=True)  # noqa: E731
    assert seen.said[0].startswith(text(tokens)) and seen.said[1] == text(tokens[:3])


def test_soft_suffix_lowers_the_score_and_keeps_the_answer_as_likely(subject, scored):
    found = find_soft_suffix(subject, BAITS, scored, PLACE, SoftSuffix(tokens=4, steps=40, batch=5, lr=0.5))
    assert found.found.objective > found.start.objective + 0.3 and found.vectors.shape == (4, 32)
    assert found.found.score < found.start.score
    assert len(found.attempts) == 40 and found.attempts[-1].passes == 200
    again = find_soft_suffix(subject, BAITS, scored, PLACE, SoftSuffix(tokens=4, steps=40, batch=5, lr=0.5))
    assert np.array_equal(found.vectors, again.vectors)


def test_weight_zero_only_makes_the_answer_likely(subject, scored):
    free = find_soft_suffix(subject, BAITS, scored, PLACE, SoftSuffix(steps=20, batch=5, lr=0.5, weight=0.0))
    assert free.found.objective == free.found.logprob > free.start.logprob + 0.1


def test_swaps_never_get_worse_stay_within_budget_and_log_every_attempt(subject, scored):
    found = find_token_swaps(subject, BAITS, scored, PLACE, TokenSwaps(begin="! ! !", passes=203, tries=50))
    assert found.found.objective >= found.start.objective and 190 < found.attempts[-1].passes <= 203
    assert found.found.objective == max(a.objective for a in found.attempts)
    assert len({a.tokens for a in found.attempts}) == len(found.attempts) > 10
    assert [a.objective for a in found.attempts if a.kept] == sorted(a.objective for a in found.attempts if a.kept)


def test_tokens_are_ranked_by_how_fast_the_objective_rises_toward_their_embeddings(subject, scored):
    models, slots = Models.of(subject, None), [slot(subject, b) for b in BAITS]
    search, tokens = _Search(models, slots, scored, PLACE, 1.0), suffix_tokens(subject, BAITS[0], "ab")
    allowed = range(3, 40)
    ranked = search.ranked(tokens, allowed, candidates=37)[1]
    start = models.embed(tokens)

    def rise(token):  # by central differences
        step = torch.zeros_like(start)
        step[1] = 1e-2 * models.embed([token])[0]
        ends = [search.on_all(start + sign * step).objective for sign in (1, -1)]
        return ends[0] - ends[1]

    by_hand = {token: rise(token) for token in allowed}
    assert search.passes == 5 + 2 * 37 * 5 and sorted(ranked) == list(allowed)
    assert np.corrcoef([by_hand[token] for token in ranked], -np.arange(37))[0, 1] > 0.9


def test_a_swapped_suffix_can_be_typed_and_scores_as_logged(subject, scored):
    found = find_token_swaps(subject, BAITS, scored, PLACE, TokenSwaps(begin="! ! !", passes=150, tries=4))
    typed = [with_suffix(b, found.found.text) for b in BAITS]
    fitted = Mahalanobis(0.5).fit(stacked_rows(subject, rows("fit", PLAIN, 30, start=100)))
    assert np.isclose(fitted.score(stacked_rows(subject, typed)).values.mean(), found.found.score, atol=1e-3)


def test_a_score_against_the_base_reads_the_base_with_the_suffix_in_it(subject):
    def pair(some):
        return PairedActivations(*(stacked_rows(who, some) for who in (subject, subject.sibling(None))))

    fitted = ReferenceResidual(0.5).fit(pair(rows("fit", PLAIN, 30, start=100)))
    settings = TokenSwaps(begin="! ! !", passes=60, tries=4)
    found = find_token_swaps(subject, BAITS, surrogate_of(fitted), PLACE, settings)
    typed = [with_suffix(b, found.found.text) for b in BAITS]
    assert np.isclose(fitted.score(pair(typed)).values.mean(), found.found.score, atol=1e-3)


def test_tokens_that_no_text_gives_are_no_suffix(subject):
    tokens = suffix_tokens(subject, BAITS[0], "ab")
    assert suffix_text(subject, BAITS[0], tokens) == "ab"
    assert suffix_text(subject, BAITS[0], tokens[1:]) is None  # without the space that joins it to the request
    assert suffix_text(subject, BAITS[0], tokens[:1]) is None


def test_the_place_is_found_in_a_prompt_without_a_system_text_too(subject):
    plain = rows("bait", Context("n", "neutral"), 1, BAD)[0]
    assert subject.tokenizer.decode(list(slot(subject, plain).before)).endswith("ask 0?")


def test_refuses_no_baits_and_a_budget_without_a_swap(subject, scored):
    with pytest.raises(EvidenceError, match="1 or more baits with bad answers, got none"):
        find_soft_suffix(subject, (), scored, PLACE, SoftSuffix())
    with pytest.raises(EvidenceError, match="14 passes allow no swap.*take 15 on 5 baits"):
        find_token_swaps(subject, BAITS, scored, PLACE, TokenSwaps(passes=14))


def test_refuses_an_objective_that_is_not_finite(subject):
    class Broken:
        needs_base = False

        def scores(self, seen):
            return torch.full((len(seen.subject[0]),), float("nan"))

    with pytest.raises(EvidenceError, match="the objective is nan after 5 passes"):
        find_soft_suffix(subject, BAITS, Broken(), PLACE, SoftSuffix(batch=5, steps=1))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SoftSuffix(tokens=0), "need tokens, steps"),
        (lambda: TokenSwaps(begin=" "), "need a text to begin with"),
    ],
)
def test_refuses_settings_outside_their_range(make, says):
    with pytest.raises(SettingError, match=says):
        make()
