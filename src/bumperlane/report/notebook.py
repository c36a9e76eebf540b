"""Cases and their parts in a notebook: the sections of the page and its drawings, in one escaped block without script.

`import bumperlane` in a notebook is enough: IPython is told, by name, how to show these types (`in_notebook.py`), and
this module is loaded when the first is shown. Elsewhere `display(thing)` gives an object with `_repr_html_`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from ..case import Bounce, BumperResult, Case, Cause, Experiment, Onset
from ..errors import SettingError
from ..types import Judgement, Reading, Scores
from . import sentences, svg
from .clean_text import plain
from .html import Most, environment, parts_of, template

LIMIT_BYTES = 150_000  # of one output: notebooks keep what they show
START = '{% import "sections.html.j2" as part with context %}<div class="bumperlane" lang="en">'
PLOT = (
    '<p class="title">{{ thing.bumper }}: {{ say.plural(baits | length + controls | length, "score") }}, '
    "higher is worse</p>"
    "<figure>{{ svg.histogram(baits, controls, thing.bumper) }}<figcaption>{{ told }}</figcaption></figure>"
)
BODIES: Mapping[type, str] = {
    Case: (
        '<p class="over"><span class="word {{ say.TONES[say.outcome(case)] }}">{{ say.outcome(case) }}</span> '
        '<bdi class="path">{{ case.run }}</bdi></p><p class="title"><bdi>{{ say.headline(case) }}</bdi></p>'
        "{{ part.said() }}{{ part.how_far() }}{{ part.rates() }}{{ part.did() }}{{ part.onset() }}{{ part.causes() }}"
        "{{ part.bounce() }}"
    ),
    BumperResult: "{{ part.forest([thing], none, '') }}{{ part.bumper_table([thing]) }}",
    Onset: "{{ part.onset_of(thing, []) }}",
    Cause: (
        "{{ part.cause_table([thing], scale) }}"
        "{% if thing.experiment %}{{ part.experiment(thing.experiment) }}{% endif %}"
        "{% for s in thing.examples[:most.samples] %}{{ part.sample(s, false) }}{% endfor %}"
    ),
    Experiment: "{{ part.experiment(thing) }}",
    Bounce: "{{ part.bounce_of(thing) }}",
    Scores: PLOT,
    Reading: PLOT + "<p>{{ thing.why_blind or thing.note }}</p>",
}


@dataclass(frozen=True)
class Shown:
    """HTML for a notebook, and the plain text where there is none."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def display(thing: Any) -> Shown:
    """A case, judgement, trace or bounce, or scores, as a notebook shows them; at most 150 kB.

    Args:
        thing: a Case, or its bumpers, onset, causes, experiments or bounces; a Judgement; Scores.

    Raises SettingError for anything else.
    """
    if isinstance(thing, Judgement):
        from ..case import of_judgement

        thing = of_judgement(thing, {}, "")
    if type(thing) not in BODIES:
        known = ", ".join(sorted([*(t.__name__ for t in BODIES), "Judgement"]))
        raise SettingError(f"a {type(thing).__name__} cannot be shown. Known are: {known}.")
    return Shown(html_of(thing), _text(thing))


def html_of(thing: Any) -> str:
    """The block of HTML for one thing. It is made again with less of everything while it is too large."""
    given, made = _given(thing), ""
    for factor in (1.0, 0.4, 0.15, 0.05, 0.02):
        most = Most() if factor == 1 else Most().less(factor)
        made = _rendered(environment(most), thing, {**given, "most": most})
        if len(made.encode()) < LIMIT_BYTES:
            break
    return made


def _rendered(jinja: Environment, thing: Any, given: dict[str, Any]) -> str:
    style = Markup(f"<style>{template('notebook.css')}</style>")
    return jinja.from_string("{{ style }}" + START + BODIES[type(thing)] + "</div>").render({**given, "style": style})


def _given(thing: Any) -> dict[str, Any]:
    uid = "bl" + sha256(repr(thing).encode("utf-8", "replace")).hexdigest()[:10] + "-"  # ids of two outputs differ
    if isinstance(thing, Case):
        from .publish import with_claims

        return {**parts_of(thing if thing.claims else with_claims(thing), Most()), "uid": uid}
    given: dict[str, Any] = {"case": None, "thing": thing, "say": sentences, "svg": svg, "uid": uid, "sealed": ""}
    if isinstance(thing, Cause):
        given["scale"] = svg.effect_scale([thing.effect] if thing.effect else [])
    if isinstance(thing, Scores):
        given |= {"baits": thing.values.tolist(), "controls": [], "told": "Bars: share of the items."}
    if isinstance(thing, Reading):
        arms = [[float(v) for v, a in zip(thing.scores.values, thing.arms, strict=True) if a == arm]
                for arm in ("bait", "control")]  # fmt: skip
        sprung = "sprang" if thing.trap_sprung else "did not spring, so this reading is blind"
        told = (
            f"Up: baits; down: controls, each as shares of its own. {thing.split} bumper of {thing.family}; its trap "
            f"{sprung}."
        )
        given |= {"baits": arms[0], "controls": arms[1], "told": told}
    return given


def _text(thing: Any) -> str:
    """One line, where there is no HTML."""
    if isinstance(thing, Case):
        return plain(f"{sentences.outcome(thing)}: {thing.run}: {sentences.headline(thing)}", 400)
    if isinstance(thing, Bounce | BumperResult):
        return plain(f"{thing.verdict}: {thing.why}", 400)
    return plain(repr(thing), 400)
