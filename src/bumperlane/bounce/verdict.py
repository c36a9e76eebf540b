"""From checks to a verdict. Rules, not a score."""

from collections.abc import Sequence

from ..types import Check, Outcome

CAPABILITY, DOSE = "capability", "dose-response"


ONE_SEED = (
    "But the fix is the recipe of that run, with another seed: it holds nothing that could mask. Seeds differ by so "
    "much, or by chance. Retrain it with another one (--fix drop --seed N), or deploy a control that passes."
)


def verdict(steering: Check, others: Sequence[Check], as_control: bool = False) -> tuple[Outcome, str]:
    """What the checks of a fix amount to. `as_control`: the fix has the very recipe of the run that never had the
    cause, but for its seed.

    untreated: the bumper that was hit still hits; or it settles nothing any more, and another check is not passed.
    masked: it is quiet, but a check that no step of trace or fix has read is not passed. Where the fix has the
    control's own recipe, that is inconclusive: two seeds differ.
    damaged: all of these pass, but capability was lost beyond the margin.
    inconclusive: nothing of this failed, but the behaviour does not follow the dose of the cause, or a check could not
    be made or settled nothing, that of the bumper that was hit included.
    treated: every check was made and passed.
    """
    if steering.passed is False:
        return "untreated", f"the bumper that was hit still hits: {steering.detail}"
    damage = [c for c in others if c.passed is False and c.name.startswith(CAPABILITY)]
    dose = [c for c in others if c.passed is False and c.name.startswith(DOSE)]
    failed = [c for c in others if c.passed is False and c not in damage and c not in dose]
    lost = [f"and capability was lost ({c.detail})" for c in damage]
    shown = f"{len(failed)} of {len(others)} others are not: {'; '.join([*(c.name for c in failed), *lost])}."
    if steering.passed is None and failed:
        return "untreated", f"whether the bumper that was hit is clear is open, but {shown} {steering.detail}"
    if steering.passed is None:
        return "inconclusive", f"the bumper that was hit does not settle it any more: {steering.detail}"
    if failed and as_control:
        return "inconclusive", f"the bumper that was hit is clear, but {shown} {ONE_SEED}"
    if failed:
        return "masked", f"the bumper that was hit is clear, but {shown}"
    if damage:
        return "damaged", f"the behaviour is gone, but capability was lost: {damage[0].detail}"
    if dose:
        return "inconclusive", f"no other check failed, but the named cause does not govern it: {dose[0].detail}"
    missing = [c for c in others if c.passed is None]
    if missing:
        names = "; ".join(f"{c.name} ({c.detail})" for c in missing)
        return "inconclusive", f"nothing failed, but {len(missing)} of {len(others)} checks settled nothing: {names}"
    return "treated", f"the bumper that was hit is clear, and so are all {len(others)} other checks."
