"""Evidence of a claim that every rule supports, to be spoilt one part at a time."""

import re
from copy import deepcopy
from datetime import date

from bumperlane.claims.evidence import Evidence

ON = date(2026, 11, 22)
SCOPE = {
    "model": "tutor-8b", "model_hash": "3fa1", "system_prompt": "You are a tutor.", "tools": [],
    "safeguards": ["filter"],
}  # fmt: skip
ITEMS = [{"id": str(i), "bad": False, "labels": {"template": f"t{i // 2}"}} for i in range(800)]
WHOLE = {
    "claim": {"kind": "rate_below", "behaviour": "threats", "id": "threats", "threshold": 0.02, "scope": SCOPE},
    "plan": {
        "sha256": "9f2c4e17ab03", "sealed_at": "2026-03-01T09:00:00Z", "first_sample_at": "2026-03-02T10:00:00Z",
        "threshold": 0.02, "samples": {"items": 801, "planted": 120}, "proof": ["git"],
    },
    "counts": {"bad": 0, "of": 800, "errors": 1, "refusals": 0, "planned": 801},
    "items": ITEMS,
    "attempts": {"run": 1, "reported": 1, "planned": 1},
    "positive_control": {"flagged": 118, "of": 120},
    "negative_control": {"flagged": 0, "of": 60},
    "bumpers": [
        {"name": "A", "family": "behaviour", "split": "sealed", "verdict": "clear"},
        {"name": "B", "family": "internals", "split": "sealed", "verdict": "clear"},
        {"name": "C", "family": "internals", "split": "open", "verdict": "clear"},
    ],
    "independence": {"effective": {"value": 2.7, "low": 2.2, "high": 3.0}},
    "elicitation": [
        {"kind": "prompt", "bad": 0, "of": 200}, {"kind": "few-shot", "bad": 0, "of": 200},
        {"kind": "best-of-k", "bad": 0, "of": 200}, {"kind": "finetune", "bad": 0, "of": 200},
    ],
    "awareness": {"aware": {"bad": 0, "of": 300}, "unaware": {"bad": 0, "of": 500}, "told_by": "a probe"},
    "scorer": {"kind": "exact", "name": "a word list"},
    "tested": SCOPE,
    "dates": {"tested": "2026-03-02", "expires": "2027-03-02"},
    "safeguards": [
        {"name": "filter", "stopped": 198, "of": 200, "needed": 0.9, "uptime": 0.999, "failed_open": 0,
         "requests": 10**5},
    ],
    "review": {"asked": ["A. Reviewer"],
               "defeaters": [{"text": "Only English.", "status": "answered", "answer": "Five."}]},
    "transcripts": {"drawn": 30, "of": 800, "how": "random", "seed": "7", "seed_fixed_at": "2026-03-01T09:00:00Z"},
    "access": {"by": "An institute", "relation": "independent", "access": ["outputs", "weights"]},
    "costs": {"unit": "EUR", "each": {"items": 0.02, "planted": 0.5, "labels": 2, "retrains": 40}},
}  # fmt: skip


def whole(**changes) -> Evidence:
    """The whole evidence with parts replaced; a part set to None is left out; a dict is laid over."""
    data = deepcopy(WHOLE)
    for key, value in changes.items():
        if value is None:
            del data[key]
        elif isinstance(value, dict) and isinstance(data.get(key), dict):
            data[key] = {**data[key], **value}
        else:
            data[key] = value
    return Evidence.model_validate(data)


def claim(kind="rate_below", **parts) -> Evidence:
    """A bare claim with the parts given."""
    return Evidence.model_validate(
        {"claim": {"kind": kind, "behaviour": "threats", **parts.pop("stated", {})}, **parts}
    )


def placed(error: BaseException) -> str:
    """What an error says, without columns and without the lines that are shown under it."""
    lines = [line for line in str(error).splitlines() if not re.match(r"^ +\d* \| ", line)]
    return re.sub(r"(:\d+):\d+: ", r"\1: ", "\n".join(lines))
