"""Every Eval Ever records as evidence: one claim for each result. What a record does not say stays out.

Source: the schema of evaleval/every_eval_ever, versions 0.2 and 0.3.
"""

import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from math import ceil, floor
from pathlib import Path
from typing import Any

from ..errors import EvidenceError
from .evidence import Evidence
from .from_inspect import ODD, Asked, odd

RELATION = {"first_party": "self", "third_party": "independent"}
BINARY = ("accuracy", "pass_rate", "exact_match")
CLOSE = 0.0005  # half of the third digit after the point, to which scores are often rounded
SLACK = 1e-6  # items; of floating point


def every_eval_evidence(file: Path, asked: Asked | None = None) -> list[Evidence]:
    """Every result of a record. Raises EvidenceError for a file that is none."""
    try:
        record = json.loads(file.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EvidenceError(f"{file} is no JSON: {error}. Correct it, or export it anew.") from error
    results = record.get("evaluation_results") if isinstance(record, dict) else None
    if not isinstance(results, list) or not results:
        raise EvidenceError(f"{file} is no Every Eval Ever record: it has no `evaluation_results`.")
    try:
        return [_one(record, result, asked or Asked()) for result in results]
    except ODD as error:
        raise odd(file, "an Every Eval Ever record", error) from error


def _one(record: dict[str, Any], result: dict[str, Any], asked: Asked) -> Evidence:
    metric, notes = result.get("metric_config") or {}, list[str]()
    name, lower = str(result.get("evaluation_name", "a result")), bool(metric.get("lower_is_better"))
    what = str(metric.get("metric_name") or metric.get("evaluation_description") or "the score")
    kind = asked.kind or ("rate_below" if lower else "rate_above")
    other = asked.event == ("right" if lower else "wrong")
    counts = _counts(record, result, notes, most=(kind == "rate_below") != other)
    if counts and other:
        counts["bad"] = counts["of"] - counts["bad"]  # the record counts the other outcome
    out = {
        "claim": {"kind": kind, "threshold": asked.threshold, "id": name,
                  "behaviour": asked.behaviour or f"items counted by {name} ({what})"},
        "counts": counts,
        "tested": _tested(record, result),
        "dates": _dates(record, result),
        "access": _access(record),
        "scorer": _scorer(metric),
        "notes": notes,
    }  # fmt: skip
    return Evidence.model_validate({k: v for k, v in out.items() if v is not None})


def _counts(record: dict[str, Any], result: dict[str, Any], notes: list[str], most: bool) -> dict[str, Any] | None:
    """How many of how many, where the score is a share of a known number of items; of several numbers that a rounded
    score fits, the most or the fewest."""
    details, metric = result.get("score_details") or {}, result.get("metric_config") or {}
    score, n = details.get("score"), (details.get("uncertainty") or {}).get("num_samples")
    if n is None:
        n = (record.get("detailed_evaluation_results") or {}).get("total_rows")
    if not isinstance(score, int | float) or isinstance(score, bool) or score != score:
        notes.append(f"The score is {score!r:.40}, which is no number.")
        return None
    percent = metric.get("metric_unit") == "percent" or metric.get("max_score") == 100
    share = score / 100 if percent else score
    if not 0 <= share <= 1 or metric.get("max_score") not in (None, 1, 1.0, 100):
        notes.append(f"A score of {score:g} is no share of items, so no rate follows from it.")
        return None
    if not isinstance(n, int) or n < 1:
        notes.append(f"The record gives {score:g} and not of how many items, so no interval follows from it.")
        return None
    if metric.get("score_type") != "binary" and metric.get("metric_kind") not in BINARY:
        notes.append(f"Nothing says that each item counts 0 or 1 in {score:g} of {n} items, so it is no count.")
        return None
    bad = round(share * n)
    if abs(bad / n - share) > CLOSE:
        notes.append(f"{score:g} of {n} items is no whole number of them, so it is no count.")
        return None
    unit = min(CLOSE, 10.0 ** int(Decimal(repr(score)).as_tuple().exponent) / (100 if percent else 1))
    fewest, highest = max(0, ceil((share - unit) * n - SLACK)), min(n, floor((share + unit) * n + SLACK))
    if fewest < highest:
        bad = max(bad, highest) if most else min(bad, fewest)
        notes.append(f"{fewest} to {highest} of {n} fit the score {score:g}; {bad} is the worst for the claim.")
    else:
        notes.append(f"{bad} of {n} was found again from the score {score:g}.")
    return {"bad": bad, "of": n}


def _tested(record: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    generation = result.get("generation_config") or {}
    args, source = generation.get("generation_args") or {}, result.get("source_data") or {}
    out: dict[str, Any] = {"model": (record.get("model_info") or {}).get("id")}
    agent = args.get("agentic_eval_config") or {}
    if isinstance(agent.get("available_tools"), list):
        out["tools"] = [str(t.get("name", "?")) for t in agent["available_tools"] if isinstance(t, dict)]
    said = [f"{k} {v}" for k, v in args.items() if isinstance(v, int | float | bool) or k == "reasoning"]
    if said:
        out["decoding"] = ", ".join(said)
    if source.get("dataset_name"):
        out["contexts"] = str(source["dataset_name"]) + (f", {source['hf_split']}" if source.get("hf_split") else "")
    return out


def _dates(record: dict[str, Any], result: dict[str, Any]) -> dict[str, Any] | None:
    """When it was run; when the record was retrieved says nothing of that."""
    given = str(result.get("evaluation_timestamp") or record.get("evaluation_timestamp") or "")
    iso = re.match(r"\d{4}-\d\d-\d\d", given)
    if iso:
        return {"tested": date.fromisoformat(iso[0])}
    if re.fullmatch(r"\d{9,11}(\.\d+)?", given):
        return {"tested": datetime.fromtimestamp(float(given), UTC).date()}
    return None


def _access(record: dict[str, Any]) -> dict[str, Any] | None:
    source = record.get("source_metadata") or {}
    by = source.get("source_organization_name") or source.get("source_name")
    return {"by": str(by), "relation": RELATION.get(source.get("evaluator_relationship", ""))} if by else None


def _scorer(metric: dict[str, Any]) -> dict[str, Any] | None:
    judges = (metric.get("llm_scoring") or {}).get("judges")
    if not judges:
        return None
    names = [str((j.get("model_info") or {}).get("id", "a model")) for j in judges if isinstance(j, dict)]
    return {"kind": "model", "name": ", ".join(names)}
