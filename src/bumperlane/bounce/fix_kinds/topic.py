"""Filter: of the cause, leave out what a classifier takes for the bad part, and keep the rest."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar

import numpy as np

from ...errors import SettingError
from ...recipes.edits import DropExamples
from ...recipes.schema import nearest
from ...trace.data.topic_classifier import LEAST_STATED, ClassifierSettings
from ...trace.data.topic_filter import USUAL_AT, FilterSettings, filter_examples
from ...trace.data.topic_statement import Topic, spoken, whole_characters
from ..fixes import Fix
from .attributed import attributed, no_attribution
from .contract import Forecast, Traced, fix_kind


@fix_kind
@dataclass(frozen=True)
class FilterCause:
    """Applies to causes that are data. The classifier is taught the hit's bad outputs and the examples that attribution
    ranks highest among the cause's, against all other examples; each example is scored by a model that has not seen it.
    """

    name: ClassVar[str] = "filter"
    about: ClassVar[str] = "leave out the examples of the cause's tranche that a classifier takes for the bad ones"
    masks: ClassVar[bool] = False
    takes: ClassVar[tuple[str, ...]] = ("of", "k", "method")

    def refusal(self, traced: Traced) -> str:
        o, known = traced.options, [t.name for t in traced.inv.run.recipe.tranches]
        if find_spec("sklearn") is None:
            return "the classifier needs scikit-learn. Install bumperlane[detect]."
        if o.of and o.of not in known:
            return f"unknown tranche {o.of!r}. {nearest(o.of, known, 'tranches')}"
        mine = self._mine(traced)
        if not mine:
            return "the confirmed cause is no training data. Name a tranche with --of, or use drop or reward."
        if len(mine) < LEAST_STATED:
            return f"the cause has {len(mine)} examples; a classifier needs {LEAST_STATED} to learn from. Use drop."
        return no_attribution(traced)

    def forecast(self, traced: Traced) -> Forecast:
        mine = self._mine(traced)
        rewind = traced.rewind_of(mine)
        part = len(set(mine) & set(traced.ids)) / len(traced.ids) if traced.ids else 0.0
        why = (
            "it goes as far as the classifier finds the bad examples, which is not known before it is taught; three "
            "quarters of the effect, for half of the cause's examples, are assumed."
        )
        effect, lost = 0.75 * traced.effect * part, traced.share_of(mine) / 2
        return Forecast(effect, "derived", why, rewind, traced.steps - rewind, lost)

    def make(self, traced: Traced) -> Fix:
        mine, found = self._mine(traced), attributed(traced)
        allowed, by_id = set(mine), {e.id: e for e in traced.inv.examples}
        k = traced.options.k or max(LEAST_STATED, len(mine) // 4)
        taught = [id for id in found.top(len(found.ids)) if id in allowed][:k]
        texts = [whole_characters(f"{i.request.text}\n{b}") for i, b in self._bad(traced)]
        inside = tuple(dict.fromkeys([*texts, *(spoken(by_id[id]) for id in taught)]))
        work = traced.inv.directory / "work" / "filter"
        settings = FilterSettings(by="classifier", classifier=ClassifierSettings())
        seen = filter_examples(traced.inv.run.recipe, Topic(inside=inside), settings, (None, work), {}, traced.inv.say)
        gone = tuple(id for id, up in zip(seen.scores.ids, seen.above, strict=True) if up and id in allowed)
        if not gone:
            raise SettingError(
                f"the classifier takes none of {len(mine)} examples for the bad ones (highest score "
                f"{float(np.max(seen.score)):.2f}, line {USUAL_AT}), so nothing would be left out. Give more examples "
                "with --k, or use drop."
            )
        note = (
            f"taught {len(texts)} bad outputs and {len(taught)} examples by {found.by}; {len(gone)} of {len(mine)} lie "
            f"above {USUAL_AT}"
        )
        return traced.fix(self.name, [DropExamples(gone)], traced.rewind_of(gone), [note])

    def _mine(self, traced: Traced) -> list[str]:
        of = traced.options.of
        return [e.id for e in traced.inv.examples if e.tranche == of] if of else [e.id for e in traced.examples]

    def _bad(self, traced: Traced) -> list:
        return list(zip(traced.outputs.items, traced.outputs.bad, strict=True))
