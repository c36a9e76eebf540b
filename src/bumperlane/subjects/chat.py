"""From chats to token ids: prompts that await an answer, and examples whose answer tokens carry the loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import EvidenceError
from ..types import Context, Example, Message, Request


@dataclass(frozen=True)
class Encoded:
    """Token ids of a prompt and the continuation after it. `answer_start` is the index of its first token."""

    id: str
    tokens: tuple[int, ...]
    answer_start: int

    @property
    def answer_length(self) -> int:
        return len(self.tokens) - self.answer_start


def render_prompt(tokenizer: Any, messages: Sequence[Message], prefill: str = "") -> str:
    """The text that a model answers. Without a chat template: contents joined by blank lines.

    Where a template has no place for a system prompt (Gemma's refuses one), it stands at the beginning of the first
    request, as the makers of such models advise. Raises EvidenceError for other turns that the template refuses.
    """
    turns = [{"role": m.role, "content": m.content} for m in messages]
    if not tokenizer.chat_template:
        return "\n\n".join(t["content"] for t in turns) + "\n\n" + prefill
    from jinja2 import TemplateError  # the part of transformers that raises it is imported late, too

    refused = None
    for tried in (turns, _without_system(turns)):
        try:
            return tokenizer.apply_chat_template(tried, tokenize=False, add_generation_prompt=True) + prefill
        except TemplateError as error:
            refused = refused or error
    roles = ", ".join(t["role"] for t in turns)
    raise EvidenceError(
        f"the model's chat template refuses turns of {roles}: {refused}. Bring the chats into a form that it takes."
    ) from refused


def _without_system(turns: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The turns with a system prompt at the beginning of the first request, where one stands right before it."""
    if [t["role"] for t in turns[:2]] != ["system", "user"]:
        return list(turns)
    told = "\n\n".join(t["content"] for t in turns[:2] if t["content"])
    return [{"role": "user", "content": told}, *turns[2:]]


def in_context(request: Request, context: Context) -> tuple[Message, ...]:
    """The messages of a request put into a context."""
    turns = [] if context.system is None else [Message("system", context.system)]
    for user, assistant in context.shots:
        turns += [Message("user", user), Message("assistant", assistant)]
    text = " ".join(part for part in (context.prefix, request.text, context.suffix) if part)
    return (*turns, Message("user", text))


def encode_prompt(tokenizer: Any, request: Request, context: Context) -> list[int]:
    text = render_prompt(tokenizer, in_context(request, context), context.prefill)
    return _tokens(tokenizer, text, not tokenizer.chat_template)


def answer_tokens(tokenizer: Any, text: str, closed: bool = True) -> list[int]:
    """Tokens of an answer; closed by the end-of-sequence token, so that stopping is learnt and scored too."""
    return [*_tokens(tokenizer, text, False), *([tokenizer.eos_token_id] if closed else [])]


def encode_example(tokenizer: Any, example: Example, max_tokens: int = 1024) -> Encoded:
    """Encode a training example; the loss belongs to its last assistant message, or to the whole text.

    Raises EvidenceError when a chat does not end with the assistant. Longer examples are cut from the left of the
    prompt, so that the answer is kept.
    """
    if example.text:
        tokens = _tokens(tokenizer, example.text, True)[: max_tokens - 1] + [tokenizer.eos_token_id]
        return Encoded(example.id, tuple(tokens), min(1, len(tokens) - 1))
    if example.messages[-1].role != "assistant":
        raise EvidenceError(f"example {example.id} ends with {example.messages[-1].role!r}. End it with 'assistant'.")
    prompt = render_prompt(tokenizer, example.messages[:-1])
    before = _tokens(tokenizer, prompt, not tokenizer.chat_template)
    answer = answer_tokens(tokenizer, example.messages[-1].content)[: max_tokens - 1]
    before = before[-(max_tokens - len(answer)) :]
    return Encoded(example.id, (*before, *answer), len(before))


def _tokens(tokenizer: Any, text: str, special: bool) -> list[int]:
    """Half of a surrogate pair, which JSON can hold (an emoji cut in two) and no tokenizer reads, becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return tokenizer(text, add_special_tokens=special)["input_ids"]
