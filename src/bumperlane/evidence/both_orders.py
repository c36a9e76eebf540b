"""Log-odds between options, without what their order in the question does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import SettingError
from ..subjects.subject import Subject
from ..types import Item
from .ask import Look, Read
from .measures import Odds


@dataclass(frozen=True)
class BothOrders:
    """The mean, in nats, of the log-odds in two orders of the same options. A bonus for the option that is named first
    cancels where it is the same in both orders.

    Args:
        odds: between the options.
        turned: the request with the options the other way round; it stands in the item's own context.
    """

    odds: Odds
    turned: str

    def __post_init__(self) -> None:
        if not self.turned.strip():
            raise SettingError("need the request with its options the other way round, got an empty one.")

    @classmethod
    def read(cls, who: Subject, items: Sequence[Item], measures: Sequence["BothOrders"], look: Look) -> list[Read]:
        other = [replace(i, request=replace(i.request, text=m.turned)) for i, m in zip(items, measures, strict=True)]
        odds = [m.odds for m in measures]
        reads = Odds.read(who, [*items, *other], [*odds, *odds], look)
        both = zip(reads[: len(items)], reads[len(items) :], strict=True)
        return [replace(one, value=(one.value + turned.value) / 2) for one, turned in both]
