"""Does what was tested match what is claimed, and is it still so?"""

from datetime import date

from ..evidence import Evidence
from ..grades import Needed, Said, supported, unsupported, untested, weak
from ..parts import Scope
from .contract import ALL_KINDS, rule

LISTS = ("tools", "safeguards")
MUST = ("model_hash", "system_prompt", "tools", "safeguards")
SHOWN = 60


@rule(
    "C04", "the scope of the claim is what was tested: weights, prompt, tools, safeguards", ALL_KINDS,
    "the claim is read as one about what was tested, and about nothing wider",
)  # fmt: skip
def same_scope(e: Evidence, on: date) -> Said:
    if e.tested is None or not e.tested.model_dump(exclude_none=True):
        return untested("nothing says what was tested.", Needed("what was tested: weights, prompt, tools, safeguards"))
    claimed, tested = _said(e.claim.scope), _said(e.tested)
    differ = [k for k, v in claimed.items() if k in tested and tested[k] != v]
    if differ:
        each = "; ".join(f"{k} {_shown(claimed[k])} is claimed, {_shown(tested[k])} was tested" for k in differ)
        return unsupported(f"{each}.", Needed("a test of what the claim is about", "run"))
    missing = [k for k in dict.fromkeys((*claimed, *MUST)) if k not in tested]
    if missing:
        return untested(
            f"not said of what was tested: {', '.join(missing)}.", Needed(f"{', '.join(missing)} as tested")
        )
    wider = [k for k in tested if k not in claimed]
    if wider:
        return weak(
            f"the claim does not say for which {', '.join(wider)} it holds, and one of each was tested.",
            Needed(f"a claim that names its {', '.join(wider)}"),
        )
    return supported(f"claimed and tested agree in {', '.join(claimed)}.")


def _said(scope: Scope) -> dict[str, object]:
    said = scope.model_dump(exclude_none=True)
    return {k: sorted(v) if k in LISTS else v for k, v in said.items()}


def _shown(value: object) -> str:
    text = (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
    return f"“{text if len(text) <= SHOWN else text[: SHOWN - 1] + '…'}”"


@rule(
    "C16", "it is the right model, and the claim has not expired", ALL_KINDS,
    "the model in use is the one that was tested, on the day it was tested",
)  # fmt: skip
def current(e: Evidence, on: date) -> Said:
    tested, dates = e.tested, e.dates
    hashed, claimed = (tested.model_hash if tested else None), e.claim.scope.model_hash
    if hashed and claimed and hashed != claimed:
        return unsupported(f"weights {_shown(hashed)} were tested, {_shown(claimed)} are in use.",
                           Needed("a test of the weights in use", "run"))  # fmt: skip
    if dates is None or dates.tested is None:
        return untested("nothing says when it was tested.", Needed("the date of the test, and until when it holds"))
    if dates.tested > on:
        return unsupported(f"the date of the test, {dates.tested}, lies after {on}.", Needed("the right date"))
    if dates.expires is not None and on > dates.expires:
        late = (on - dates.expires).days
        return unsupported(
            f"it expired on {dates.expires}, {late} days before {on}.", Needed("the test, taken anew", "run")
        )
    if hashed is None:
        return untested("the weights that were tested are not named by a hash.", Needed("a hash of the weights"))
    if dates.expires is None:
        return weak(f"tested on {dates.tested}, without a date on which it expires.", Needed("a date of expiry"))
    if claimed is None:
        return weak("the claim names no weights by their hash.", Needed("the hash of the weights in use"))
    return supported(f"tested on {dates.tested} on the weights in use, valid until {dates.expires}.")
