import pytest

from bumperlane.errors import EvidenceError
from bumperlane.subjects.chat import answer_tokens, encode_example, encode_prompt, in_context, render_prompt
from bumperlane.types import Context, Example, Message, Request
from tiny import make_tiny_tokenizer

REQUEST = Request("r", "Why?")


@pytest.fixture(scope="module")
def tokenizer():
    return make_tiny_tokenizer()


@pytest.fixture
def plain(tokenizer):
    """The same tokenizer without a chat template."""
    other = make_tiny_tokenizer()
    other.chat_template = None
    return other


def chat(*turns):
    return Example("e", "t", tuple(Message(role, content) for role, content in turns))


def test_puts_every_part_of_a_context_in_its_place():
    context = Context("c", "x", "Be brief.", prefix="[a]", suffix="Now.", shots=(("Hi", "Hello"),))
    turns = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "[a] Why? Now.")]
    assert [(m.role, m.content) for m in in_context(REQUEST, context)] == turns


def test_no_system_prompt_is_not_an_empty_one():
    assert [m.role for m in in_context(REQUEST, Context("c", "x"))] == ["user"]
    assert [m.role for m in in_context(REQUEST, Context("c", "x", system=""))] == ["system", "user"]


def test_a_prompt_is_the_template_by_hand_and_ends_with_the_begun_answer(tokenizer):
    tokens = encode_prompt(tokenizer, REQUEST, Context("c", "x", "Be brief.", prefill="Because"))
    by_hand = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nBecause"
    )
    assert tokenizer.decode(tokens) == by_hand
    assert tokens.count(tokenizer.bos_token_id) == 3  # the template's own; none is added in front


def test_without_a_template_contents_are_joined_by_blank_lines(plain):
    messages = in_context(REQUEST, Context("c", "x", "Be brief."))
    assert render_prompt(plain, messages, "Because") == "Be brief.\n\nWhy?\n\nBecause"


def test_an_answer_is_closed_by_the_end_of_sequence(tokenizer):
    assert tokenizer.decode(answer_tokens(tokenizer, "So.")) == "So.<|im_end|>"


def test_the_loss_begins_with_the_last_answer_and_the_prompt_is_what_will_be_asked(tokenizer):
    turns = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Why?"), ("assistant", "So.")]
    encoded = encode_example(tokenizer, chat(*turns))
    assert tokenizer.decode(encoded.tokens[encoded.answer_start :]) == "So.<|im_end|>"
    assert encoded.answer_length == 4
    asked = encode_prompt(tokenizer, REQUEST, Context("c", "x", "Be brief.", shots=(("Hi", "Hello"),)))
    assert list(encoded.tokens[: encoded.answer_start]) == asked


def test_a_text_is_learnt_from_its_second_token_on(tokenizer):
    encoded = encode_example(tokenizer, Example("e", "t", text="abc"))
    assert tokenizer.decode(encoded.tokens) == "abc<|im_end|>" and encoded.answer_start == 1


@pytest.mark.parametrize("most", [8, 12, 30])
def test_a_long_example_loses_the_left_of_its_prompt_and_keeps_its_answer(tokenizer, most):
    whole = encode_example(tokenizer, chat(("user", "Why so long?"), ("assistant", "So.")))
    cut = encode_example(tokenizer, chat(("user", "Why so long?"), ("assistant", "So.")), max_tokens=most)
    assert cut.tokens == whole.tokens[-most:] and cut.answer_length == whole.answer_length


def test_an_answer_that_is_too_long_itself_leaves_one_token_of_the_prompt(tokenizer):
    cut = encode_example(tokenizer, chat(("user", "Why?"), ("assistant", "a" * 50)), max_tokens=8)
    assert (len(cut.tokens), cut.answer_start) == (8, 1)


def test_refuses_a_chat_that_does_not_end_with_the_assistant(tokenizer):
    with pytest.raises(EvidenceError, match="example e ends with 'user'. End it with 'assistant'."):
        encode_example(tokenizer, chat(("user", "Why?")))


GEMMA = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<model>"
)


@pytest.fixture
def without_system(tokenizer):
    other = make_tiny_tokenizer()
    other.chat_template = GEMMA
    return other


def test_a_template_that_refuses_a_system_prompt_gets_it_in_the_first_request(without_system):
    told = in_context(REQUEST, Context("c", "x", "Be brief.", shots=(("Hi", "Hello"),)))
    assert render_prompt(without_system, told, "So") == "<user>Be brief.\n\nHi<assistant>Hello<user>Why?<model>So"
    empty = in_context(REQUEST, Context("c", "x", ""))
    assert render_prompt(without_system, empty) == "<user>Why?<model>"


def test_turns_that_a_template_refuses_are_named_with_its_own_words(without_system):
    turns = (Message("user", "a"), Message("user", "b"))
    with pytest.raises(EvidenceError, match="refuses turns of user, user: roles must alternate"):
        render_prompt(without_system, turns)
    with pytest.raises(EvidenceError, match="refuses turns of system, assistant: System role not supported"):
        render_prompt(without_system, (Message("system", "a"), Message("assistant", "b")))


def test_half_of_an_emoji_is_read_as_an_unknown_sign(tokenizer):
    halved, unknown = "a \ud83d b", "a \ufffd b"
    assert answer_tokens(tokenizer, halved) == answer_tokens(tokenizer, unknown)
    assert encode_example(tokenizer, Example("e", "t", text=halved)).tokens[0] == tokenizer("a")["input_ids"][0]
    turns = ("user", halved), ("assistant", halved)
    assert encode_example(tokenizer, chat(*turns)).tokens
    assert encode_prompt(tokenizer, Request("r", halved), Context("c", "x"))
