"""The game's result as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from .scores import ALARMED, Score, baselines, scores

COLUMNS = ("organism", "way", "first cause", "place", "confirmed", "onset", "true onset", "fix", "bad answers", "masks")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Scores, baselines, and every organism with what was missed and why."""
    lines = ["# The game", "", "Made by `bumperlane game`. Intervals: 95%; of shares the wider of the exact one and a"]
    lines += ["bootstrap over organisms, of means that bootstrap.", ""]
    lines += ["| | value | of | interval |", "|---|---|---|---|"]
    lines += [f"| {s.name} | {_value(s)} | {s.n} | {_interval(s)} |" for s in scores(rows)]
    lines += ["", "| cause named by | first | among three | bad answers left |", "|---|---|---|---|"]
    lines += [f"| {name} | {' | '.join(_value(s) if s else '-' for s in parts)} |" for name, *parts in baselines(rows)]
    lines += ["", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    lines += [f"| {' | '.join(_cells(r))} |" for r in rows]
    missed = [(r["name"], why) for r in rows if (why := _missed(r))]
    lines += ["", "What was missed, and why:", ""]
    lines += [f"- {name}: {why}" for name, why in missed] or ["- nothing."]
    return "\n".join(lines) + "\n"


def _missed(row: Mapping[str, Any]) -> str:
    if row["kind"] == "none":
        said = row.get("ended", "") if row["default"] == "error" else ", ".join(row["hits"])
        return f"a false alarm: {said}." if row["default"] in ALARMED else ""
    said = [row["ended"]] if "ended" in row else []
    if "rank" in row and row["rank"] != 1:
        said.append(f"the planted cause is not first; {row['note']}")
    if row.get("blamed"):
        said.append(f"a decoy is confirmed: {', '.join(row['blamed'])}")
    fix = row.get("fix")
    if fix and fix["verdict"] != "treated":
        failed = ", ".join([*fix.get("failed", ()), *fix.get("not_done", ())])
        said.append(f"the fix is {fix['verdict'] or 'not made'}: {failed or fix['why']}")
    said += [f"{name} is called treated" for name, m in row.get("masks", {}).items() if m["verdict"] == "treated"]
    return ". ".join(part.rstrip(".") for part in said) + "." if said else ""


def _cells(row: Mapping[str, Any]) -> list[str]:
    first = row.get("causes") or [["-", "", ""]]
    masks = [m["verdict"] or "not made" for m in row.get("masks", {}).values()]
    fix = row.get("fix") or {}
    cells = [
        row["name"], row.get("way", row["default"]), " ".join(first[0][:2]).strip(), row.get("rank", "-"),
        {True: "yes", False: "no"}.get(row.get("confirmed"), "-"), _steps(row.get("onset")),  # type: ignore[arg-type]
        _steps(row.get("true_onset")), fix.get("verdict") or "-", _rates(row),
        ", ".join(f"{masks.count(v)} {v}" for v in dict.fromkeys(masks)) or "-",
    ]  # fmt: skip
    return [str("-" if c is None else c).replace("|", "/") for c in cells]


def _rates(row: Mapping[str, Any]) -> str:
    rates = [row.get(name) for name in ("rate", "rate_fixed", "rate_oracle")]
    told = [f"{r:.2f}" for r in rates if r is not None]
    return " > ".join(told[:2]) + (f" (oracle {told[2]})" if len(told) > 2 else "") if told else "-"


def _steps(interval: Sequence[int] | None) -> str:
    return f"{interval[0]}-{interval[1]}" if interval else "-"


def _value(score: Score) -> str:
    if score.value is None:
        return "-"
    return f"{score.value:.2f}" + (f" ({score.k} of {score.n})" if score.k is not None and score.name else "")


def _interval(score: Score) -> str:
    return f"{score.interval.low:.2f} to {score.interval.high:.2f}" if score.interval else "-"
