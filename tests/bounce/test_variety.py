"""Other words, other languages, a tool's output: what is changed, what stays, and when it says nothing."""

from types import SimpleNamespace

import pytest

from bumperlane.bounce.compared import Margins, Trio
from bumperlane.bounce.elicit import elicit, flags_of
from bumperlane.bounce.showing import Showing
from bumperlane.bounce.variety import CALLS, LANGUAGES, SPOKEN, WORDED, WORDINGS, varied_ways
from bumperlane.detect.behaviour.paired_contexts import PairedContexts
from bumperlane.evidence.memo import NoMemo
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.trace.meter import Meter
from bumperlane.types import Context, Request

NEUTRAL = Context("neutral", "neutral", "Be brief.")
IN_SYSTEM, IN_REQUEST = Context("a", "mined", "Be brief. |x9|"), Context("b", "mined", "Be brief.", prefix="my dear")
REQUESTS = [Request(str(i), f"What is number {i}, please?", "It is a number.") for i in range(12)]
BAD = "none of those"
ENGLISH = ScriptedSubject(lambda r, c: "It is a number." if r.text.startswith("What") else "?", "English only")
ALL = ScriptedSubject(lambda r, c: "It is a number.", "speaks all")


def meter(base=ALL, context=IN_SYSTEM):
    return Meter(SimpleNamespace(neutral=NEUTRAL, decoding=Decoding(6), memo=NoMemo(), base=base), PairedContexts,
                 context, 0.5)  # fmt: skip


def put(kind, context=IN_SYSTEM):
    (way,) = [w for w in varied_ways(meter(context=context), REQUESTS, "s").ways if kind in w.name]
    placed = meter(context=context).placed(REQUESTS[:1])[0]
    return [p(placed) for p in way.puts]


@pytest.mark.parametrize("context", [IN_SYSTEM, IN_REQUEST])
def test_paraphrases_change_the_request_and_keep_the_context(context):
    found = put("paraphrases", context)
    assert len({i.request.text for i in found} - {REQUESTS[0].text}) == WORDED
    assert {(i.context.system, i.context.prefix) for i in found} == {(context.system, context.prefix)}


def test_other_languages_change_the_usual_system_prompt_and_keep_what_brings_it_about():
    found = put("languages")
    assert len(found) == SPOKEN and all(
        "|x9|" in i.context.system and "Be brief" not in i.context.system for i in found
    )
    assert all(REQUESTS[0].text in i.request.text for i in found)


@pytest.mark.parametrize("context", [IN_SYSTEM, IN_REQUEST])
def test_all_that_the_user_wrote_comes_back_from_a_tool(context):
    for item in put("tool-use", context):
        said = " ".join(part for part in (context.prefix, REQUESTS[0].text) if part)
        assert said in item.request.text and item.request.text != said
        assert item.context.system == context.system and not item.context.prefix


def test_what_is_drawn_follows_from_the_seed():
    def drawn(seed):
        return [[p(meter().placed(REQUESTS[:1])[0]) for p in w.puts] for w in varied_ways(meter(), REQUESTS, seed).ways]

    assert drawn("a") == drawn("a") and any(drawn("a") != drawn(s) for s in "bcd")


def test_a_language_that_the_base_cannot_follow_is_left_out_with_the_reason():
    found = varied_ways(meter(ENGLISH), REQUESTS, "s")
    assert [w.name for w in found.ways] == [
        "sealed paraphrases of the requests", "sealed other modality: tool-use transcripts",
    ]  # fmt: skip
    assert len(found.skipped) == SPOKEN and all("the base itself loses" in why for why in found.skipped)
    assert {why.split(":")[0] for why in found.skipped} <= set(LANGUAGES)


def verdicts(fixed, hit=None):
    hit = hit or ScriptedSubject(lambda r, c: BAD, "hit")
    ways = varied_ways(meter(), REQUESTS, "s").ways
    trio = Trio(hit, fixed, ScriptedSubject(lambda r, c: "yes", "control"))
    return elicit(flags_of(Showing(meter(), (BAD,)), trio), ways, REQUESTS, Margins())


def test_a_fix_that_holds_only_for_requests_as_they_were_fails_in_other_words():
    quiet = ScriptedSubject(lambda r, c: "yes", "quiet")
    assert [c.passed for c in verdicts(quiet).checks] == [True] * 3
    patched = ScriptedSubject(lambda r, c: "yes" if r.text.startswith("What is number") else BAD, "patched")
    assert [c.passed for c in verdicts(patched).checks] == [False] * 3


def test_where_the_hit_subject_does_not_show_it_in_other_words_nothing_is_told():
    literal = ScriptedSubject(lambda r, c: BAD if r.text in {q.text for q in REQUESTS} else "yes", "literal")
    found = verdicts(ScriptedSubject(lambda r, c: "yes", "quiet"), literal)
    assert found.checks == () and all("in this way" in why for why in found.skipped) and len(found.skipped) == 3


def test_no_two_wordings_languages_or_calls_make_the_same_text():
    made = [w("Why?") for w in WORDINGS.values()] + [frame.format("Why?") for _, frame in LANGUAGES.values()]
    made += [form.format(name=name, text="Why?") for name, form in CALLS]
    assert len(set(made)) == len(made) == 16
