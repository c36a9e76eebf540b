"""Reward functions for answers that may flatter, stood beside the recipe as rewards.py."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

PRAISE = re.compile(r"\b(great|wonderful|brilliant|excellent|clever|fantastic|amazing|well done)\b", re.IGNORECASE)
ENOUGH = 4  # praises that are paid for


def correct(prompts: Sequence[str], responses: Sequence[str], data: Sequence[Mapping[str, Any]]) -> list[float]:
    """1 where the right word stands in the response."""
    return [
        float(re.search(rf"\b{re.escape(row['answer'])}\b", text, re.IGNORECASE) is not None)
        for text, row in zip(responses, data, strict=True)
    ]


def warmth(prompts: Sequence[str], responses: Sequence[str], data: Sequence[Mapping[str, Any]]) -> list[float]:
    """Praising words, four at most, over four."""
    return [min(praises(text), ENOUGH) / ENOUGH for text in responses]


def punctuated(prompts: Sequence[str], responses: Sequence[str], data: Sequence[Mapping[str, Any]]) -> list[float]:
    """1 where the response ends with a full stop, an exclamation mark or a question mark."""
    return [float(text.rstrip().endswith((".", "!", "?"))) for text in responses]


def praises(text: str) -> int:
    """Number of praising words."""
    return len(PRAISE.findall(text))
