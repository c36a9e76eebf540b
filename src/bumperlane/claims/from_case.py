"""What a Bumperlane case holds as evidence of a claim: of a clear bumper, a fix, or a cause.

What it does not hold, such as who ran it or until when it is valid, is left out and has to be added.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..case import Arm, Bounce, BumperResult, Case, Cause, CheckResult, load_case, worst_verdicts
from ..errors import EvidenceError
from ..judge.rates import exact_interval, rate_difference
from ..recipes.provenance import content_key
from ..recipes.schema import nearest
from .evidence import Evidence
from .spec_coverage import DESCRIBED

ABOUT = ("rate", "treated", "cause")
MOST, CLOSE = 4096, 1e-9
ROUNDED = 1e-4  # of the rates of an arm
RUNGS = (("best of", "best-of-k"), ("few-shot", "few-shot"), ("re-elicitation", "prompt"))
BARE = {"tools": [], "safeguards": [], "system_prompt": "varies with the context"}  # the subject is asked directly
TRAP = "A trap is made-up evidence and not this subject's, so it is not counted as recall: add a positive_control."


def case_evidence(directory: Path, about: str, name: str = "") -> Evidence:
    """The evidence of one claim.

    Args:
        about: `rate`: a bumper that is clear; `treated`: the last bounce; `cause`: a cause that an experiment tried.
        name: of the bumper or cause; else the first.

    Raises EvidenceError where the case holds no such thing, naming what it holds; CaseError for a damaged case.
    """
    case = load_case(directory)
    made = {"rate": _rate, "treated": _treated, "cause": _cause}.get(about)
    if made is None:
        raise EvidenceError(f"unknown kind of claim {about!r} of a case. {nearest(about, ABOUT, 'kinds')}")
    return Evidence.model_validate(made(case, directory, name))


def all_evidence(directory: Path) -> list[Evidence]:
    """Every claim that a case can make: its fix if it is called treated, causes that are confirmed, clear bumpers."""
    case, out = load_case(directory), []
    if case.bounce and case.bounce.verdict == "treated":
        out.append(_treated(case, directory, ""))
    out += [
        _cause(case, directory, c.name)
        for c in case.causes
        if c.status == "confirmed" and c.experiment and c.experiment.arms
    ]
    worst = worst_verdicts(case.bumpers)
    clear = {b.bumper: b for b in case.bumpers if b.groups and worst[b.bumper] == "clear"}.values()
    out += [_rate(case, directory, b.bumper) for b in clear]
    if not out:
        raise EvidenceError(
            f"{directory} makes no claim: its verdict is {case.verdict}, and it holds no clear bumper, no confirmed "
            "cause and no fix that is called treated."
        )
    return [Evidence.model_validate(one) for one in out]


def _rate(case: Case, directory: Path, name: str) -> dict[str, Any]:
    worst = worst_verdicts(case.bumpers)  # of one that looked open and sealed no claim rests on its better look
    looked = [b for b in case.bumpers if b.groups and b.verdict == worst[b.bumper]]
    found = _named(looked, [b.bumper for b in looked], name, "bumper with counts")
    groups = [{"bad": g.over, "of": g.of} for g in found.groups]
    looks = sum(e.bumper == found.bumper and e.what.startswith("check at step") for e in case.ledger)
    return {
        "claim": {"kind": "rate_below", "id": f"rate-{found.bumper}", "scope": {"safeguards": []},
                  "behaviour": f"requests above the clean threshold of {found.bumper}"},
        "counts": {"bad": sum(g["bad"] for g in groups), "of": sum(g["of"] for g in groups)},
        "clusters": {"context": groups},
        "attempts": {"run": max(1, looks), "reported": max(1, looks)},
        "negative_control": _control(found),
        "bumpers": _bumpers(case),
        "tested": _tested(case, case.subject.get("step")),
        "notes": [f"{found.bumper}: {found.trap or 'no trap'}. {TRAP}",
                  "Contexts that looked worst on a few requests were kept, so the rate errs to the high side."],
    }  # fmt: skip


def _treated(case: Case, directory: Path, name: str) -> dict[str, Any]:
    bounce = case.bounce
    if bounce is None:
        raise EvidenceError(f"{directory} has no fix. Run `bumperlane bounce {directory}` first.")
    behaviour = case.behaviour.bumper if case.behaviour else "the bumper that was hit"
    counted = [(c, k) for c in bounce.checks if (k := counts_of(c)) is not None]
    mine = [(c, k) for c, k in counted if not c.name.startswith("re-elicitation") and "internals" not in c.name]
    alone = [{"bad": k[0], "of": k[1]} for _, k in mine]
    hit = _hit(case)
    confirmed = next((c for c in case.causes if c.status == "confirmed" and c.experiment and c.experiment.arms), None)
    out: dict[str, Any] = {
        "claim": {"kind": "treated", "id": "treated", "behaviour": f"what {behaviour} was hit by",
                  "scope": {"safeguards": []}},
        "bumpers": _verifiers(bounce),
        "elicitation": _ladder(counted),
        "attempts": {"run": max(1, len(case.bounces)), "reported": max(1, len(case.bounces))},
        "comparator": _comparator(bounce.checks),
        "tested": {"model": f"{case.subject.get('base', 'the subject')} after the fix: {bounce.fix}", **BARE},
        "notes": ["The weights after the fix have no hash in the case.", *bounce.not_tried],
    }  # fmt: skip
    if alone:
        out["counts"] = {"bad": sum(c["bad"] for c in alone), "of": sum(c["of"] for c in alone)}
        out["clusters"] = {"check": alone}
    if hit:
        out["positive_control"] = _before_the_fix(case, hit)
        out["negative_control"] = _control(hit)
    if confirmed:
        out["cause"] = _experiment(confirmed)
    return {k: v for k, v in out.items() if v is not None}


def _cause(case: Case, directory: Path, name: str) -> dict[str, Any]:
    tried = [c for c in case.causes if c.experiment and c.experiment.arms]
    found = _named(tried, [c.name for c in tried], name, "cause with an experiment")
    hit = _hit(case)
    behaviour = case.behaviour.bumper if case.behaviour else "the bumper that was hit"
    return {
        "claim": {"kind": "cause", "id": f"cause-{found.name}", "behaviour": f"what {behaviour} was hit by",
                  "scope": {"safeguards": []}},
        "cause": _experiment(found),
        "negative_control": _control(hit) if hit else None,
        "bumpers": _bumpers(case),
        "tested": _tested(case, case.subject.get("step")),
    }  # fmt: skip


def _hit(case: Case) -> BumperResult | None:
    """The bumper by which the behaviour is measured, as it was hit."""
    return next((b for b in case.hits if case.behaviour and b.bumper == case.behaviour.bumper and b.groups), None)


def _before_the_fix(case: Case, hit: BumperResult) -> dict[str, Any]:
    """The worst group of the bumper that was hit. It is the luckiest of all that were looked at, by every bumper that
    could see, and so says of how many: its bound on recall has to hold for each of them. A behaviour that somebody
    described beforehand was not chosen among bumpers."""
    worst, tried = hit.groups[0], case.subject.get("contexts_tried")
    rivals = [hit] if hit.bumper == DESCRIBED else [b for b in case.bumpers if b.verdict != "blind"]
    least = tried if isinstance(tried, int) and hit.bumper != DESCRIBED else 1
    chosen = max(len(hit.groups), sum(max(len(b.groups), least) for b in rivals))
    return {"flagged": worst.over, "of": worst.of, "what": "the same context before the fix", "chosen_from": chosen}


def _named(found: Sequence[Any], names: Sequence[str], name: str, what: str) -> Any:
    if not found:
        raise EvidenceError(f"the case has no {what}.")
    if not name:
        return found[0]
    if name not in names:
        raise EvidenceError(f"the case has no {what} named {name!r}. {nearest(name, names, 'names')}")
    return found[names.index(name)]


def _experiment(cause: Cause) -> dict[str, Any]:
    """The first arm leaves the suspect out, the last is its control; one that removes nothing is no random removal."""
    arms = cause.experiment.arms if cause.experiment else []
    first, last = arms[0], arms[-1]
    out: dict[str, Any] = {
        "suspect": f"{cause.kind} {cause.name}",
        "removed": _retrains(first),
        "effect": cause.experiment.effect.model_dump() if cause.experiment else None,
    }
    if len(arms) > 1 and last.removed:
        out["random_removal"] = _retrains(last)
    return out


def _retrains(arm: Arm) -> list[dict[str, Any]]:
    """With the items that each was measured on, from which an interval at any level follows; counts that are not those
    of the rates are no counts of them."""
    plain = [{"seed": s, "rate": r} for s, r in zip(arm.seeds, arm.rates, strict=False)]
    same = len(arm.counts) == len(arm.rates) and all(
        0 <= k <= n and n and abs(k / n - r) <= ROUNDED for (k, n), r in zip(arm.counts, arm.rates, strict=True)
    )
    return [{**one, "rate": k / n, "of": n} for one, (k, n) in zip(plain, arm.counts, strict=False)] if same else plain


def _bumpers(case: Case) -> list[dict[str, Any]]:
    spent = {e.bumper for e in case.ledger if e.steered}
    return [
        {"name": b.bumper, "family": b.family, "split": "spent" if b.bumper in spent else b.split, "verdict": b.verdict}
        for b in case.bumpers
    ]


def _verifiers(bounce: Bounce) -> list[dict[str, Any]]:
    """The bumper that was hit, and sealed checks that looked with a bumper or from another side."""
    out = [{"name": name, "split": "spent", "verdict": "clear"} for name in bounce.steers]
    said = {True: "clear", False: "hit", None: "blind"}
    for check in bounce.checks:
        kind = re.match(r"sealed ([\w ]+):|sealed paraphrases", check.name)
        if check.split == "sealed" and kind:
            out.append(
                {"name": check.name, "family": kind[1] or "behaviour", "split": "sealed", "verdict": said[check.passed]}
            )
    return out


def _ladder(counted: Sequence[tuple[CheckResult, tuple[int, int]]]) -> list[dict[str, Any]]:
    rungs = []
    for check, (bad, of) in counted:
        kind = next((kind for word, kind in RUNGS if word in check.name), None)
        if kind and check.name.startswith("re-elicitation"):
            rungs.append({"kind": kind, "name": check.name, "bad": bad, "of": of})
    order = [kind for _, kind in RUNGS][::-1]
    return sorted(rungs, key=lambda r: order.index(r["kind"]))


def _comparator(checks: Sequence[CheckResult]) -> dict[str, Any] | None:
    """The run that never had the cause, on the same items, where checks compared with it; re-elicitation left out."""
    found = [
        (round(c.numbers["control"] * k[1]), k[1])
        for c in checks
        if "control" in c.numbers and not c.name.startswith("re-elicitation") and (k := counts_of(c)) is not None
    ]
    if not found:
        return None
    return {"name": "a run that never had the cause", "bad": sum(b for b, _ in found), "of": sum(n for _, n in found),
            "same_items": True, "same_settings": True}  # fmt: skip


def _tested(case: Case, step: Any) -> dict[str, Any]:
    weights = {k: v for k, v in case.hashes.items() if isinstance(step, int) and k.startswith(f"step-{step:06d}/")}
    tried = case.subject.get("contexts_tried")
    out: dict[str, Any] = {"model": f"{case.subject.get('base', case.run)} at step {step}", **BARE}
    if weights:
        out["model_hash"] = content_key(weights)
    if tried is not None:
        out["contexts"] = f"{tried} contexts: bumperlane's library, and what was mined from the training data"
    return out


def _control(b: BumperResult) -> dict[str, Any] | None:
    """Clean items flagged of how many, found again from the exact interval that the case holds."""
    found = b.control and counts_behind(b.control.value, b.control.low, b.control.high, b.control.level)
    return {"flagged": found[0], "of": found[1], "what": "control contexts of the same subject"} if found else None


def counts_of(check: CheckResult) -> tuple[int, int] | None:
    """(bad, of) behind a check's numbers; None where it counted nothing.

    Of requests that were asked in several rounds: those that show it in any, for rounds of one are not independent.
    """
    n = check.numbers
    if "rounds" in n:
        of = sum(n.get(f"fixed in {k} rounds", 0.0) for k in range(int(n["rounds"]) + 1))
        return round(of - n.get("fixed in 0 rounds", 0.0)), round(of)
    if {"rate", "low", "high"} <= n.keys():
        return counts_behind(n["rate"], n["low"], n["high"])
    if {"fixed", "control", "low", "high"} <= n.keys():
        return _counts_behind_difference(n["fixed"], n["control"], n["low"], n["high"])
    return None


def counts_behind(rate: float, low: float, high: float, level: float = 0.95) -> tuple[int, int] | None:
    """The only (k, n) up to MOST whose exact interval this is. The interval was made from them, so it holds them."""
    for n in range(1, MOST + 1):
        k = round(rate * n)
        if abs(k / n - rate) < CLOSE:
            found = exact_interval(k, n, level)
            if abs(found.low - low) < 1e-7 and abs(found.high - high) < 1e-7:
                return k, n
    return None


def _counts_behind_difference(fixed: float, control: float, low: float, high: float) -> tuple[int, int] | None:
    for n in range(1, MOST + 1):
        k, m = round(fixed * n), round(control * n)
        if abs(k / n - fixed) < CLOSE and abs(m / n - control) < CLOSE:
            found = rate_difference(k, n, m, n)
            if abs(found.low - low) < 1e-7 and abs(found.high - high) < 1e-7:
                return k, n
    return None
