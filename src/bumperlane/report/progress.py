"""Progress on stderr: what is done, steps, rate and time left. A live line on a terminal, else plain lines."""

import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from .clean_text import plain

LIMIT = 80
EVERY_S, SLOWEST_S = 5.0, 60.0  # between plain lines: a quarter of what the work has taken, within these


@dataclass(frozen=True)
class Count:
    """A count of steps: when and where it began, when the last step ended, and how many have."""

    began: float
    first: int
    at: float
    done: int


class Progress:
    """Call it with (what, done, total), or give `training` to a trainer. Use it as a context, so that the line goes.

    Args:
        quiet: print nothing.
        console: where to print; None is stderr.
        clock: seconds; for tests.
    """

    def __init__(
        self, quiet: bool = False, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.quiet, self.clock = quiet, clock
        self.console = console or Console(stderr=True)
        self.counts: dict[int, Count] = {}  # by total: a word about loading in between does not begin a count anew
        self.printed, self.last, self.began = -EVERY_S, ("", False), 0.0
        self.bar: Bar | None = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Take the live line away; the next call draws it again."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def __call__(self, what: str, done: int, total: int) -> None:
        if self.quiet:
            return
        what, numbers = plain(what, LIMIT), self.numbers(done, total)
        if self.console.is_terminal:
            self._draw(what, numbers, done, total)
        elif self._due(what, done, total):
            print(f"{what}  {numbers}".rstrip(), file=sys.stderr, flush=True)

    def training(self, step: int, total: int, message: str) -> None:
        """The progress of `recipes.train`."""
        self(f"training, {message}", step, total)

    def line(self, text: str) -> None:
        """A step of work that has no count."""
        self(text, 0, 0)

    def numbers(self, done: int, total: int) -> str:
        """'12/64, 2.1/s, 25 s left'. The rate is that of this process since the count began. One step has no count."""
        if total <= 1:
            return ""
        now = self.clock()
        count = self.counts.get(total)
        if count is None or done < count.done:
            count = Count(now, done, now, done)
        elif done > count.done:
            count = replace(count, at=now, done=done)
        self.counts[total] = count
        text, passed = f"{done}/{total}", count.at - count.began
        if done > count.first and passed > 0:
            rate = (done - count.first) / passed
            text += f", {_rate(rate)}, {duration((total - done) / rate - (now - count.at))} left"
        return text

    def _due(self, what: str, done: int, total: int) -> bool:
        """Plain lines: each new kind of work, its end once, and one every few seconds, later every minute."""
        kind, now = re.sub(r"\d+", "", what.split(",")[0]), self.clock()
        ended = total > 0 and done >= total
        if kind != self.last[0]:
            self.began = now
        told = self.last == (kind, True) or (self.last[0] == kind and not ended)
        if told and now - self.printed < min(SLOWEST_S, max(EVERY_S, (now - self.began) / 4)):
            return False
        self.last, self.printed = (kind, ended), now
        return True

    def _draw(self, what: str, numbers: str, done: int, total: int) -> None:
        if self.bar is None:
            words = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[numbers]}"))
            self.bar = Bar(next(words), BarColumn(20), next(words), console=self.console, transient=True)
            self.bar.add_task(what, total=max(total, 1), numbers=numbers)
            self.bar.start()
        self.bar.update(self.bar.task_ids[0], description=what, completed=done, total=max(total, 1), numbers=numbers)


def duration(seconds: float) -> str:
    """'40 s', '3 min 20 s', '2 h 5 min'."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def _rate(per_s: float) -> str:
    return f"{per_s:.1f}/s" if per_s >= 0.95 else f"{1 / per_s:.1f} s each"
