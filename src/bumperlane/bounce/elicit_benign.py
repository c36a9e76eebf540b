"""A few steps on harmless data: a behaviour that was only covered may come back when the cover wears off."""

import json
from collections.abc import Sequence
from random import Random

from ..case import Case, write_text
from ..judge.investigation import Investigation
from ..recipes.models import Tranche
from ..recipes.run import Run
from ..recipes.tranches import to_row
from ..trace.causes import ids_of
from ..trace.retrain import Retrain, planned
from ..types import Request
from .compared import Margins, Trio
from .elicit import Tried, elicit, flags_of
from .fixes import confirmed_causes, on_other_data
from .showing import Showing, Way

STEPS, MOST, LEAST = 8, 64, 8
NAME = "re-elicitation by a few steps of benign finetuning"


def benign_recipes(inv: Investigation, case: Case, runs: dict[str, Run]) -> dict[str, Retrain]:
    """Some steps on up to MOST examples of the run's own data without the causes, from the last checkpoint of each run.
    None where fewer than LEAST examples are left. A training command takes as many steps as it likes."""
    causes = {id for cause in confirmed_causes(case) for id in ids_of(inv, cause)}
    rest = [e for e in inv.examples if e.id not in causes]
    if len(rest) < LEAST:
        return {}
    drawn = Random(f"benign/{inv.settings.seed}").sample(rest, min(MOST, len(rest)))
    rows = [json.dumps({**to_row(e), "id": f"benign-{e.id}"}) for e in drawn]
    data = write_text(inv.directory / "work" / "benign.jsonl", "\n".join(rows) + "\n")
    tranche = Tranche(name="benign", path=data)
    recipes = {who: on_other_data(run, run.last.step, tranche, (STEPS, STEPS)) for who, run in runs.items()}
    return {who: planned(recipe, inv.directory / "runs", f"benign-{who}") for who, recipe in recipes.items()}


def benign_check(showing: Showing, after: Trio, requests: Sequence[Request], margins: Margins) -> Tried:
    """`after`: the subject that was hit as it is, fixed and control after the benign steps."""
    return elicit(flags_of(showing, after), [Way(NAME)], requests, margins)
