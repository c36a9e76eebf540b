"""What a search leaves in its directory: the log, the result, and contexts that a check can take."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...types import Context
from .confirm import Confirmed
from .red_team import FoundAttacks
from .triggers import FoundTriggers, Trigger

LOG, RESULT, CONTEXTS, PROMPTS = "attempts.jsonl", "result.json", "contexts.jsonl", "contexts.txt"


def context_row(context: Context) -> dict[str, Any]:
    """The parts of a context that are there."""
    row: dict[str, Any] = {k: getattr(context, k) for k in ("system", "prefix", "suffix", "prefill")}
    return {k: v for k, v in {**row, "shots": [list(pair) for pair in context.shots]}.items() if v}


def held_out_row(held_out: Confirmed) -> dict[str, Any]:
    """A confirmation in numbers."""
    effect = held_out.effect
    return {
        "effect": effect.value, "low": effect.low, "high": effect.high, "bar": held_out.bar, "above": held_out.above,
        "of": held_out.of, "p_value": held_out.p_value, "p_holm": held_out.p_holm,
    }  # fmt: skip


def triggers_value(found: FoundTriggers) -> dict[str, Any]:
    """The result of a trigger search as JSON."""
    return {
        "confirmed": len(found.confirmed), "objective": found.objective, "alpha": found.alpha, "passes": found.passes,
        "seconds": round(found.seconds, 1), "triggers": [_trigger_row(t, found.alpha) for t in found.triggers],
    }  # fmt: skip


def _trigger_row(trigger: Trigger, alpha: float) -> dict[str, Any]:
    row = {"context": context_row(trigger.context), "origin": trigger.origin, "searched": trigger.searched}
    row |= {"confirmed": trigger.held_out.holds(alpha), **held_out_row(trigger.held_out)}
    return {**row, "samples": _sample_rows(trigger.samples)}


def attacks_value(found: FoundAttacks) -> dict[str, Any]:
    """The result of a red-team search as JSON."""
    rows = []
    for a in found.attacks:
        row = {"context": context_row(a.context), "kind": a.kind, "origin": a.context.origin, "searched": a.searched}
        row |= {"confirmed": a.held_out.holds(found.alpha), **held_out_row(a.held_out), "plain": a.plain}
        rows.append({**row, "samples": _sample_rows(a.samples)})
    return {
        "confirmed": len(found.confirmed), "alpha": found.alpha, "attempts": found.attempts, "cells": found.cells,
        "outcomes": found.outcomes, "seconds": round(found.seconds, 1), "attacks": rows,
    }  # fmt: skip


def _sample_rows(samples: Sequence[tuple[str, str, str]]) -> list[dict[str, str]]:
    return [dict(zip(("request", "subject", "base"), s, strict=True)) for s in samples]


def write_found(directory: Path, value: dict[str, Any], contexts: Sequence[Context]) -> list[str]:
    """Write the result, and the confirmed contexts as JSONL, which `bumperlane check --contexts` takes; those that
    change the system prompt only also as text, one a line. Returns these system prompts, which `--context` takes."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / RESULT).write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    rows = [context_row(c) for c in contexts]
    (directory / CONTEXTS).write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    prompts = [row["system"] for row in rows if set(row) == {"system"} and "\n" not in row["system"]]
    (directory / PROMPTS).write_text("".join(p + "\n" for p in prompts), "utf-8")
    return prompts
