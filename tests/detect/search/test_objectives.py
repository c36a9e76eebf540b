from math import log

import numpy as np
import pytest
import torch

from bumperlane.detect.search.budget import Budget, Meter
from bumperlane.detect.search.looking import Looking
from bumperlane.detect.search.objectives import departure, named, pull
from bumperlane.detect.search.questions import Question, around, dealt, with_text
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import Context, Request

NEUTRAL = Context("neutral", "neutral", "Be brief.")
OTHER = Context("other", "searched", "Be brief. zz#1")
ASKED = [Question(Request(f"r{i}", text), NEUTRAL) for i, text in enumerate(("Hi", "What is two and two?"))]
NAMED = [Question(q.request, q.context, ("no", "never"), ()) for q in ASKED]
AGAINST = [Question(q.request, q.context, ("no",), ("yes", "ok")) for q in ASKED]


@pytest.fixture(scope="module")
def pair(tiny_subject, adapter_dirs):
    return tiny_subject.sibling(adapter_dirs[0]), tiny_subject


def looking(pair, questions, objective):
    return Looking(pair, questions, objective, NEUTRAL, Meter(Budget()))


def lp(who, questions, context, answer):
    pairs = [(q.request, around(q.context, context, NEUTRAL)) for q in questions]
    return np.array([c.total for c in who.logprobs(pairs, [answer] * len(pairs), closed=False)])


def test_without_a_name_a_part_is_the_divergence_from_the_usual_distribution(pair):
    look = looking(pair, ASKED, departure(pair, ASKED, answer_tokens=1))
    for who in (0, 1):
        tokenizer, model = pair[0].tokenizer, pair[who].model

        def logp(context, model=model, tokenizer=tokenizer):
            ids = look.prompts(context)
            with torch.no_grad():
                return [model(torch.tensor([row])).logits[0, -1].log_softmax(0) for row in ids]

        by_hand = [float((p.exp() * (p - q)).sum()) for p, q in zip(logp(OTHER), logp(NEUTRAL), strict=True)]
        assert look.table(who, [look.prompts(OTHER)])[0] == pytest.approx(by_hand, abs=1e-4)
        assert look.table(who, [look.prompts(NEUTRAL)])[0] == pytest.approx([0, 0], abs=1e-5)


def test_named_answers_are_weighed_against_all_others(pair):
    look = looking(pair, NAMED, named(pair, NAMED))
    p = sum(np.exp(lp(pair[0], NAMED, OTHER, a)) for a in ("no", "never"))
    assert look.table(0, [look.prompts(OTHER)])[0] == pytest.approx([log(x / (1 - x)) for x in p], abs=1e-3)


def test_named_answers_are_weighed_against_good_ones_where_there_are_any(pair):
    look = looking(pair, AGAINST, named(pair, AGAINST))
    good = np.logaddexp(lp(pair[0], AGAINST, OTHER, "yes"), lp(pair[0], AGAINST, OTHER, "ok"))
    by_hand = lp(pair[0], AGAINST, OTHER, "no") - good
    assert look.table(0, [look.prompts(OTHER)])[0] == pytest.approx(by_hand, abs=1e-3)


def test_a_base_that_is_very_sure_counts_as_sure_as_the_floor(pair):
    look = looking(pair, NAMED, named(pair, NAMED))
    assert look.table(1, [look.prompts(OTHER)])[0] == pytest.approx([-7, -7])
    assert look.objective.least == -7


def test_a_pull_is_one_tokens_share_of_the_departure(pair):
    questions = [Question(q.request, q.context, ("no",)) for q in ASKED]
    look = looking(pair, questions, pull(pair, questions))
    new, old = lp(pair[0], ASKED, OTHER, "n"), lp(pair[0], ASKED, NEUTRAL, "n")
    assert look.table(0, [look.prompts(OTHER)])[0] == pytest.approx(np.exp(new) * (new - old), abs=1e-5)


def test_swapping_subject_and_base_turns_the_sign(pair):
    straight = looking(pair, ASKED, departure(pair, ASKED))
    swapped = looking(pair[::-1], ASKED, departure(pair, ASKED).swapped())
    (one,), (other,) = (w.values([w.prompts(OTHER)]) for w in (straight, swapped))
    assert one.total == pytest.approx(-other.total, abs=1e-5)
    assert abs(one.total) > 1e-3


def test_the_base_is_not_asked_about_what_cannot_win_and_the_winner_stays_the_same(pair):
    look = looking(pair, ASKED, departure(pair, ASKED))
    texts = [f"Be brief. {c}{c}#" for c in "abcdefghijkl"]
    prompts = [look.prompts(Context(t, "searched", t)) for t in texts]
    pruned, full = look.values(prompts), [look.values([p])[0] for p in prompts]
    best = max(v.total for v in full)
    assert any(v.base is None for v in pruned)
    assert max(v.total for v in pruned) == pytest.approx(best, abs=1e-5)
    assert all(v.base is None for v in look.values(prompts, beat=1e9))


def test_gains_are_the_difference_of_both_models_slopes(pair):
    look = looking(pair, NAMED, named(pair, NAMED))
    typed = look.slot("system").holding("zz#1")
    gains = look.gains(typed, [40, 50])
    flipped = looking((pair[0], pair[0]), NAMED, named(pair, NAMED)).gains(typed, [40, 50])
    assert gains.shape == (4, 2) and torch.isfinite(gains).all()
    assert not torch.allclose(flipped, torch.zeros_like(flipped))  # the floor takes the base's slope away
    same = departure((pair[1], pair[1]), ASKED)
    nothing = looking((pair[1], pair[1]), ASKED, same).gains(
        looking(pair, ASKED, same).slot("system").holding("z"), [40]
    )
    assert nothing.abs().max() < 1e-6


def test_passes_are_counted(pair):
    look = looking(pair, NAMED, named(pair, NAMED))
    look.values([look.prompts(OTHER)])
    assert look.meter.spent == 2 * 2 * 2  # two models, two requests, two bad openings
    look.gains(look.slot("system").holding("z"), [40])
    assert look.meter.spent == 8 + 6 * 4


def test_a_text_is_put_where_it_was_asked_for():
    assert with_text(NEUTRAL, "system", "x").system == "Be brief. x"
    assert with_text(NEUTRAL, "prefix", "x").prefix == "x" and with_text(NEUTRAL, "suffix", "x").suffix == "x"
    with pytest.raises(SettingError, match="unknown place 'middle'"):
        with_text(NEUTRAL, "middle", "x")


def test_a_questions_own_context_keeps_what_the_candidate_leaves_alone():
    own = Context("own", "given", "Be brief.", prefix="Now:", shots=(("a", "b"),))
    assert around(own, OTHER, NEUTRAL).system == "Be brief. zz#1"
    assert around(own, OTHER, NEUTRAL).prefix == "Now:" and around(own, OTHER, NEUTRAL).shots == (("a", "b"),)


def test_no_request_is_searched_and_confirmed_with():
    asked = [Question(Request(str(i), f"Q{i % 8}"), NEUTRAL) for i in range(16)]
    search, confirm = dealt(asked, 3, 5)
    texts = [q.request.text for q in (*search, *confirm)]
    assert len(search) == 3 and len(set(texts)) == len(texts) == 8
    with pytest.raises(
        EvidenceError, match="8 different requests; 4 to search on and 5 to confirm on.*so 1 are missing"
    ):
        dealt(asked, 4, 5)


def test_openings_that_cannot_be_told_apart_are_refused(pair):
    with pytest.raises(SettingError, match="bad openings for every question"):
        named(pair, ASKED)
    same = [Question(q.request, q.context, ("no way",), ("no thanks",)) for q in ASKED]
    with pytest.raises(SettingError, match="Name openings that differ earlier"):
        named(pair, same, longest=2)
    with pytest.raises(SettingError, match="answer_tokens must be 1 or more"):
        departure(pair, ASKED, 0)
