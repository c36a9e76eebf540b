"""The drawings of the page, as markup. Pure functions: numbers are formatted, text is escaped, nothing else gets in.

Positions across are percentages, so that a drawing takes the width of its column and its text keeps its
size on a phone. Colours come from classes in the page's style sheet.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

from markupsafe import Markup

from ..case import Arm, BumperResult, Onset, Range
from .clean_text import named
from .sentences import onset_line, percent, points, rate

TOP, FLOOR, HEIGHT = 34, 190, 236
ROW = 26  # height of a row of a forest plot
BINS, HIST = 48, 150
LABEL = 1500  # characters of a description
LEFT, RIGHT = 10.0, 97.0
T = TypeVar("T")


def onset_curve(onset: Onset, skipped: Sequence[int] = (), most: int = 400) -> Markup:
    """The rate at each evaluated checkpoint with its interval; the onset is shaded, `skipped` checkpoints are ticks.

    Of more than `most` of either, some are drawn, at equal distances.
    """
    curve, skipped = spread(sorted(onset.curve, key=lambda point: point.step), most), spread(skipped, most)
    steps = [p.step for p in curve] + list(skipped) + [onset.low, onset.high]
    first, last = min(steps), max(steps)

    def across(step: float) -> float:
        return LEFT + (RIGHT - LEFT) * (step - first) / max(last - first, 1)

    marks = [_onset_band(onset, across), *(_gridline(level) for level in (0.0, 0.5, 1.0))]
    for a, b in zip(curve, curve[1:], strict=False):
        marks.append(_line(across(a.step), _up(a.rate.value), across(b.step), _up(b.rate.value), "curve"))
    for step in skipped:
        marks.append(_line(across(step), FLOOR + 4, across(step), FLOOR + 10, "skipped"))
    for point in curve:
        x = across(point.step)
        marks.append(_line(x, _up(point.rate.low), x, _up(point.rate.high), "whisker"))
        title = f"step {point.step}: {rate(point.rate)}, {point.n} answers"
        marks.append(_circle(x, _up(point.rate.value), 4.5, "dot", title))
        marks.append(_line(x, FLOOR, x, FLOOR + 10, "tick"))
    marks += _step_labels([p.step for p in curve], across)
    told = ", ".join(f"step {p.step} {percent(p.rate.value)}" for p in curve)
    return _figure(HEIGHT, "Onset of the behaviour", f"It came up {onset_line(onset)}. {told}.", marks)


def spread(items: Sequence[T], most: int) -> Sequence[T]:
    """At most so many of a sequence, at equal distances, first and last among them where two may be kept."""
    n = len(items)
    return items if n <= most else [items[i * (n - 1) // max(most - 1, 1)] for i in range(most)]


def _onset_band(onset: Onset, across) -> Markup:
    left, right = across(onset.low), across(onset.high)
    anchor, at = ("end", right) if right > 60 else ("start", left)
    return Markup('<rect class="band" x="{}%" y="{}" width="{}%" height="{}"/>{}').format(
        _n(left), TOP - 12, _n(right - left), FLOOR - TOP + 12,
        _text(at, TOP - 18, f"came up: step {onset.low} to {onset.high}", f"band-label {anchor}"),
    )  # fmt: skip


def _gridline(level: float) -> Markup:
    kind = "axis" if level == 0 else "grid"
    return _line(0, _up(level), 100, _up(level), kind) + _text(0, _up(level) - 4, percent(level), "label start")


def _step_labels(steps: Sequence[int], across) -> list[Markup]:
    """A label for each evaluated step, leaving out those that would run into the one before."""
    labels, taken = [], -100.0
    for step in steps:
        if across(step) - taken >= 7:
            taken = across(step)
            labels.append(_text(taken, FLOOR + 25, str(step), "label middle"))
    return [*labels, _text(100, FLOOR + 42, "checkpoint (optimizer step)", "label end")]


def forest_row(result: BumperResult, tolerated: float | None) -> Markup:
    """A row of a forest plot, 0 to 100 %: the rate with its interval (dot), the control's (ring), the threshold."""
    effect, control, middle = result.effect, result.control, ROW / 2
    marks = [_line(_inside(level), 0, _inside(level), ROW, "grid") for level in (0.0, 0.25, 0.5, 0.75, 1.0)]
    told = []
    if tolerated is not None:
        marks.append(_line(_inside(tolerated), 0, _inside(tolerated), ROW, "threshold"))
    if control:
        marks.append(_circle(_inside(control.value), middle, 3.5, "ring", f"controls: {rate(control)}"))
        told.append(f"controls {rate(control)}")
    if effect:
        marks.append(_line(_inside(effect.low), middle, _inside(effect.high), middle, f"interval {result.verdict}"))
        marks += [_line(_inside(x), middle - 4, _inside(x), middle + 4, f"interval {result.verdict}")
                  for x in (effect.low, effect.high)]  # fmt: skip
        marks.append(_circle(_inside(effect.value), middle, 4.5, f"dot {result.verdict}", rate(effect)))
        side = "" if tolerated is None else f", {_side(effect, tolerated)} the tolerated {percent(tolerated)}"
        told.insert(0, f"worst context {rate(effect)}{side}")
    return _figure(ROW, result.bumper, "; ".join(told) or "not measured", marks)


def forest_axis(tolerated: float | None) -> Markup:
    """The numbers under a forest plot, and the threshold's name."""
    marks = [_line(_inside(0), 1, _inside(1), 1, "axis")]
    near = tolerated if tolerated is not None else -1.0
    for level, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        if abs(level - near) > 0.25:
            marks.append(_text(_inside(level), 16, percent(level), f"label {anchor}"))
    if tolerated is not None:
        anchor = "start" if tolerated < 0.5 else "end"
        marks.append(_text(_inside(tolerated), 16, f"tolerated {percent(tolerated)}", f"threshold-label {anchor}"))
    return _figure(22, "Scale", "from 0 to 100%", marks)


def _side(effect: Range, tolerated: float) -> str:
    if effect.low > tolerated:
        return "wholly above"
    return "wholly below" if effect.high < tolerated else "on both sides of"


def effect_scale(effects: Sequence[Range]) -> tuple[float, float]:
    """A common scale for effects, in whole tens of points, that holds zero."""
    ends = [x for e in effects for x in (e.low, e.high, e.value) if math.isfinite(x)]
    low, high = min([0.0, *ends]), max([0.1, *ends])
    return math.floor(low * 10) / 10, math.ceil(high * 10) / 10


def effect_bar(effect: Range | None, scale: tuple[float, float], status: str) -> Markup:
    """A difference of rates with its interval; the upright line is zero, the same as a random removal."""

    def across(value: float) -> float:
        return 2 + 96 * (value - scale[0]) / (scale[1] - scale[0])

    marks = [_line(across(0), 0, across(0), 24, "zero"), _line(0, 12, 100, 12, "axis")]
    if effect is None:
        return _figure(24, "Effect", "not measured", marks)
    kind = status if status in ("confirmed", "suspected", "cleared") else "cleared"
    marks.append(_line(across(effect.low), 12, across(effect.high), 12, f"interval {kind}"))
    marks.append(_circle(across(effect.value), 12, 4.5, f"dot {kind}", points(effect)))
    return _figure(24, "Effect", f"falls by {points(effect)}; the upright line is zero", marks)


def effect_axis(scale: tuple[float, float]) -> Markup:
    """The numbers under a column of `effect_bar`."""

    def across(value: float) -> float:
        return 2 + 96 * (value - scale[0]) / (scale[1] - scale[0])

    ends = [(0.0, "middle" if scale[0] < 0 else "start"), (scale[1], "end")]
    if scale[0] < 0 and across(0) > 22:
        ends.append((scale[0], "start"))
    marks = [_text(across(v), 12, f"{100 * v:.0f}".replace("-", "−"), f"label {anchor}") for v, anchor in ends]
    return _figure(16, "Scale", f"from {scale[0]:.0%} to {scale[1]:.0%}", marks)


def arm_dots(arm: Arm, most: int = 400) -> Markup:
    """The rate after each retrain of one arm, a dot a seed, and their mean as an upright bar. From 0 to 100 %."""
    shown = arm.rates[:most]
    marks = [_line(0, 12, 100, 12, "axis")]
    if arm.rates:
        mean = _inside(sum(arm.rates) / len(arm.rates))
        marks.append(_line(mean, 3, mean, 21, "mean"))
    for i, value in enumerate(shown):
        seed = f"seed {arm.seeds[i]}: " if i < len(arm.seeds) else ""
        marks.append(_circle(_inside(value), 12, 4, "seed", f"{seed}{percent(value)}"))
    told = ", ".join(percent(value) for value in shown)
    return _figure(24, f"Rates of {arm.name}", told or "no retrain finished", marks)


def histogram(bait: Sequence[float], control: Sequence[float] = (), title: str = "Scores") -> Markup:
    """Scores on one scale, as shares of their arm: baits stand upward, controls hang down. Values must be finite."""
    values = [*bait, *control]
    if not values:
        return _figure(HIST, title, "no scores", [_line(0, HIST / 2, 100, HIST / 2, "axis")])
    low, high = min(values), max(values)
    scale = max(abs(low), abs(high), 1.0) if math.isinf(high - low) else 1.0  # a range that no float holds
    width = (high / scale - low / scale) / BINS or 1.0
    middle = HIST / 2 if control else HIST - 24
    marks, told = [], []
    for arm, kind, sign in ((bait, "bar-bait", -1), (control, "bar-control", 1)):
        counts = [0] * BINS
        for value in arm:
            counts[min(int((value / scale - low / scale) / width), BINS - 1)] += 1
        for i, count in enumerate(counts):
            tall = 0.0 if not arm else (middle - 14) * count / max(counts)
            if count:
                top = middle - tall if sign < 0 else middle
                marks.append(_bar(100 * i / BINS, top, 100 / BINS - 0.4, max(tall, 1.5), kind))
        if arm:
            name = {"bar-bait": "baits" if control else "all", "bar-control": "controls"}[kind]
            told.append(
                f"{len(arm)} {name}: median {sorted(arm)[len(arm) // 2]:.3g}, from {min(arm):.3g} to {max(arm):.3g}"
            )
    marks.append(_line(0, middle, 100, middle, "axis"))
    marks += [_text(0, HIST - 4, f"{low:.3g}", "label start"), _text(100, HIST - 4, f"{high:.3g}", "label end")]
    return _figure(HIST, title, "; ".join(told), marks)


def _bar(x: float, y: float, width: float, height: float, kind: str) -> Markup:
    return Markup('<rect class="{}" x="{}%" y="{}" width="{}%" height="{}"/>').format(
        kind, _n(x), _n(y), _n(width), _n(height)
    )


def _figure(height: int, title: str, description: str, marks: Sequence[Markup]) -> Markup:
    title, description = named(title, LABEL), named(description, LABEL)
    head = Markup('<svg role="img" width="100%" height="{}" aria-label="{}"><title>{}</title><desc>{}</desc>').format(
        height, f"{title}: {description}", title, description
    )
    return head + Markup("").join(marks) + Markup("</svg>")


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{}%" y1="{}" x2="{}%" y2="{}"/>').format(kind, _n(x1), _n(y1), _n(x2), _n(y2))


def _circle(x: float, y: float, r: float, kind: str, title: str) -> Markup:
    return Markup('<circle class="{}" cx="{}%" cy="{}" r="{}"><title>{}</title></circle>').format(
        kind, _n(x), _n(y), _n(r), named(title)
    )


def _text(x: float, y: float, text: str, kind: str) -> Markup:
    return Markup('<text class="{}" x="{}%" y="{}">{}</text>').format(kind, _n(x), _n(y), named(text))


def _up(value: float) -> float:
    """Height of a rate between 0 and 1."""
    return FLOOR - (FLOOR - TOP) * min(max(value if math.isfinite(value) else 0.0, 0.0), 1.0)


def _inside(value: float) -> float:
    """A rate as a percentage across, kept a little off both ends so that a dot is never cut."""
    return 3 + 94 * min(max(value if math.isfinite(value) else 0.0, 0.0), 1.0)


def _n(value: float) -> str:
    """A short number, always finite: a drawing never carries 'nan' or an exponent."""
    return f"{value if math.isfinite(value) else 0.0:.2f}".rstrip("0").rstrip(".")
