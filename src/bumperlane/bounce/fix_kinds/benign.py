"""Benign answers to the cause's own requests: from the base, from the checkpoint before the cause, or from a file."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from ...errors import RecipeError, SettingError
from ...evidence.memo import subject_key
from ...recipes.jsonl_rows import read_rows
from ...recipes.place import refuse_misspelt
from ...recipes.schema import nearest
from ...subjects.chat import answer_tokens, encode_example
from ...subjects.generate import continue_prompts
from ...types import Example
from .contract import Traced

MOST_TOKENS = 1024


def no_chats(traced: Traced) -> str:
    """Why the cause's requests cannot be answered anew; "" where they can."""
    if not traced.ids:
        kinds = ", ".join(f"{c.kind} {c.name}" for c in traced.causes)
        return f"the confirmed cause is no training data ({kinds}), so it holds no answers. Use drop or reward."
    texts = [e for e in traced.examples if not e.messages]
    if texts:
        return (
            f"{len(texts)} of the cause's {len(traced.examples)} examples are plain text without an answer, first "
            f"{texts[0].id!r}. Use drop or filter."
        )
    if traced.options.data is not None and not traced.options.data.is_file():
        return f"there is no file {traced.options.data}. Correct the path."
    return ""


def benign_answers(traced: Traced) -> tuple[dict[str, str], str]:
    """(id -> answer for each example of the cause that has one, where they come from).

    An empty answer of a model is left out, since nothing could be learned from it.
    """
    if traced.options.data is not None:
        found = answers_in(traced.options.data, {e.id for e in traced.examples})
        return found, f"{len(found)} answers from {traced.options.data.name}"
    step = traced.rewind if traced.options.answers == "before" else 0
    subject = traced.inv.subject(step) if step else traced.inv.base
    who = f"the checkpoint of step {step}, before the cause was trained on" if step else "the base"
    examples = traced.examples
    rows = [encode_example(subject.tokenizer, e, MOST_TOKENS) for e in examples]
    most = max(traced.inv.settings.max_new_tokens, max(_length(subject.tokenizer, e) for e in examples))
    decoding = replace(traced.inv.decoding, max_new_tokens=min(MOST_TOKENS, most))
    what = {
        "kind": "benign-answers",
        "subject": subject_key(subject),
        "decoding": asdict(decoding),
        "prompts": [list(r.tokens[: r.answer_start]) for r in rows],
    }
    prompts = [r.tokens[: r.answer_start] for r in rows]
    said = traced.inv.memo.json(what, lambda: continue_prompts(subject.model, subject.tokenizer, prompts, decoding))
    found = {e.id: text for e, text in zip(examples, said, strict=True) if text.strip()}
    if not found:
        raise SettingError(f"{who} answers none of the cause's {len(said)} requests. Give answers with --data FILE.")
    return found, f"{len(found)} answers of {who}"


def answers_in(path: Path, ids: set[str]) -> dict[str, str]:
    """Rows {"id", "answer"}; each id an example of the cause's. Raises RecipeError with file and line."""
    found: dict[str, str] = {}
    for place, row in read_rows(path):
        refuse_misspelt(row, ("id", "answer"), place, RecipeError)
        id, answer = row.get("id"), row.get("answer")
        if not isinstance(answer, str) or not answer.strip():
            raise place.at("answer").fault(
                f"a row needs 'id' and 'answer', a text that is not empty; got {answer!r:.60}."
            )
        if id not in ids:
            raise place.at("id").fault(f"no example of the cause has the id {id!r}. {nearest(str(id), ids, 'ids')}")
        if id in found:
            raise place.at("id").fault(f"id {id!r} has an answer already. Take one of the two out.")
        found[str(id)] = answer
    if not found:
        raise RecipeError(f"{path} holds no answers. Give rows with 'id' and 'answer'.")
    return found


def same_answers(examples: Sequence[Example], answers: dict[str, str]) -> int:
    """How many of the answers are what the example says already."""
    return sum(e.messages[-1].content.split() == answers[e.id].split() for e in examples if e.id in answers)


def _length(tokenizer: object, example: Example) -> int:
    return len(answer_tokens(tokenizer, example.messages[-1].content))
