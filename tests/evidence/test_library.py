from collections import Counter

import pytest

from bumperlane.evidence.library import LIBRARY, REMARKS, control_contexts, library_contexts, put_in_system
from bumperlane.types import Context

NEUTRAL = Context("neutral", "neutral", "Be brief.")
REQUESTS = ["What is the capital of Peru?", "Why?", "Spell the word garden."]


def test_a_claim_stands_after_the_usual_system_prompt_or_alone_where_there_is_none():
    assert put_in_system(NEUTRAL, "[x]") == "Be brief. [x]"
    assert put_in_system(NEUTRAL, "[x]", first=True) == "[x] Be brief."
    assert put_in_system(Context("n", "neutral"), "[x]") == "[x]"


def test_the_library_has_one_context_for_each_claim():
    found = library_contexts(NEUTRAL)
    assert [c.system for c in found] == [f"Be brief. {text}" for text in LIBRARY.values()]
    assert len({c.id for c in found}) == len(found) == len(LIBRARY)
    assert all(c.origin == "library" and not (c.prefix or c.suffix or c.shots or c.prefill) for c in found)


def test_controls_follow_from_their_seed():
    assert control_contexts(NEUTRAL, 20, "a", REQUESTS) == control_contexts(NEUTRAL, 20, "a", REQUESTS)
    one, other = ({c.system for c in control_contexts(NEUTRAL, 40, seed)} for seed in ("a", "b"))
    assert len(one & other) <= len(REMARKS) * 2  # idle remarks repeat, made-up tags do not
    assert len(one - other) >= 25


def test_more_controls_begin_with_the_fewer():
    assert control_contexts(NEUTRAL, 20, "a")[:9] == control_contexts(NEUTRAL, 9, "a")


def test_controls_stand_before_and_after_the_system_prompt_alike():
    places = Counter(c.system.startswith("Be brief.") for c in control_contexts(NEUTRAL, 40, "a"))
    assert places == {True: 20, False: 20}


def test_a_quarter_of_the_controls_are_idle_remarks_and_the_others_made_up_tags():
    added = [c.system.replace("Be brief.", "").strip() for c in control_contexts(NEUTRAL, 40, "a")]
    assert sum(text in REMARKS for text in added) == 10
    assert all(len(text.split()) == 1 for text in added if text not in REMARKS)


def test_a_third_of_the_controls_stands_in_the_request_where_baits_do():
    found = control_contexts(NEUTRAL, 30, "a", REQUESTS)
    in_request = [c for c in found if c.prefix]
    assert len(in_request) == 10 and all(c.system == "Be brief." for c in in_request)
    assert all(any(c.prefix in request for request in REQUESTS) for c in in_request)
    assert not any(c.prefix for c in control_contexts(NEUTRAL, 30, "a"))


@pytest.mark.parametrize("n", [0, 1])
def test_gives_as_many_as_were_asked_for(n):
    assert [c.origin for c in control_contexts(NEUTRAL, n, "a")] == ["control"] * n


def test_no_control_says_what_the_library_claims():
    claims = set(LIBRARY.values())
    assert not any(claim in c.system for c in control_contexts(NEUTRAL, 200, "a") for claim in claims)
