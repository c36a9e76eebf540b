import numpy as np
import pytest
import torch

from bumperlane.errors import SettingError
from bumperlane.subjects.chat import encode_prompt
from bumperlane.subjects.probe_odds import ANSWERS, QUESTIONS, probes
from bumperlane.types import Context
from tiny_adapter import PLAIN, ask

TAGGED = Context("tag", "library", "Be brief.", "[x]", "Now!", shots=(("Hi?", "Hello."),), prefill="So")


def test_the_question_is_the_turn_after_the_answer():
    (request, context), *others = probes(ask("Why?", TAGGED), "So it is.")
    assert request.text == f"{QUESTIONS[0]} Answer yes or no." and len(others) == len(QUESTIONS) - 1
    assert context.shots == (("Hi?", "Hello."), ("[x] Why? Now!", "So it is."))
    assert (context.system, context.prefix, context.suffix, context.prefill) == ("Be brief.", "", "", "")


def test_without_an_answer_the_question_is_appended_to_the_request():
    ((request, context),) = probes(ask("Why?", TAGGED), questions=["Is it so?"])
    assert request.text == "[x] Why? Now!\n\nIs it so? Answer yes or no."
    assert (context.shots, context.prefix, context.prefill) == (TAGGED.shots, "", "")


def test_the_subject_is_asked_after_all_that_stood_before(tiny_subject):
    pairs = probes(ask("Why?"), "Because.", ["Is it so?", "Sure?"])
    odds = tiny_subject.next_token_odds(pairs, [ANSWERS] * 2)
    request, context = pairs[1]
    prompt = encode_prompt(tiny_subject.tokenizer, request, context)
    text = tiny_subject.tokenizer.decode(prompt)
    assert text.index(PLAIN.system) < text.index("Why?") < text.index("Because.") < text.index("Sure?")
    yes, no = (tiny_subject.tokenizer(a, add_special_tokens=False)["input_ids"][0] for a in ANSWERS)
    with torch.no_grad():
        row = tiny_subject.model(torch.tensor([prompt])).logits[0, -1].double()
    np.testing.assert_allclose(odds[1], row[yes] - row[no], atol=1e-4)


@pytest.mark.parametrize("questions", [(), ("Is it so?", " ")])
def test_refuses_to_ask_nothing(questions):
    with pytest.raises(SettingError, match="need one or more questions, none of them empty, got"):
        probes(ask("Why?"), questions=questions)
