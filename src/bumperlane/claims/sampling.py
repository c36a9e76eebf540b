"""How many items, and how many planted ones, bring a claim's bound to its threshold at the least cost."""

from .evidence import Evidence
from .grades import Needed
from .reckon import ALL, Corrections, items_for

HOPELESS = "another result: at the rate and recall that were seen no number of items would do"
PLANTED = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0)  # times as many planted items, tried


def cheapest_mix(e: Evidence, c: Corrections = ALL) -> Needed:
    """More items alone, or with a larger positive control, whichever costs least at the prices given (else 1 each)."""
    if e.counts is None:
        return Needed("with a verdict", "items")
    have, control = e.counts.of, e.positive_control
    price_item, price_planted = e.costs.each.get("items", 1.0), e.costs.each.get("planted", 1.0)
    found: list[tuple[float, int, int]] = []
    for factor in PLANTED if control and c.recall else (1.0,):
        total = items_for(e, c, factor)
        if total is not None:
            planted = round(control.of * (factor - 1)) if control else 0
            found.append((price_item * (total - have) + price_planted * planted, max(0, total - have), planted))
    if not found:
        return Needed(HOPELESS, "run", settles=False)
    _, items, planted = min(found)
    if items and planted:
        return Needed("with a verdict", "items", items, planted=planted)
    if planted:
        return Needed("to measure recall", "planted", planted)
    return Needed("with a verdict", "items", max(1, items))
