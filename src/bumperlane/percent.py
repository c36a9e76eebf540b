"""Rates as people read them, in every sentence and table alike: 0%, 100%, 0 and 1 stand for just that.

A rate of 0.04% that is printed as 0% says that nothing was seen, which is another finding.
"""

FINEST = 2  # decimals of a short percentage; what is nearer to an end than these can tell is given by < or >


def percent(value: float, digits: int = 3) -> str:
    """With so many significant digits, and with more where they would make 100% of less."""
    while abs(value) < 1 and digits < 17 and abs(float(f"{100 * value:.{digits}g}")) >= 100:
        digits += 1
    return f"{100 * value:.{digits}g}%"


def short_percent(value: float) -> str:
    """For a table or drawing: '62%', '3.4%', '0.04%', '99.6%', '<0.01%', '>99.99%'."""
    size = abs(100 * value)
    digits = 1 if 0 < size < 9.95 and round(size, 1) != round(size) else 0
    return f"{_to_ends(100 * value, digits)}%"


def points(value: float) -> str:
    """A difference of two rates, in points: '48', '−3', '0.4'."""
    return _to_ends(100 * value, 0)


def share(value: float) -> str:
    """A rate as a fraction of two decimals, and with more where these would make 0 or 1 of what is neither."""
    digits = 2
    while 0 < value < 1 and digits < 17 and float(f"{value:.{digits}f}") in (0.0, 1.0):
        digits += 1
    return f"{value:.{digits}f}"


def _to_ends(value: float, digits: int) -> str:
    """With `digits` decimals, more near 0 and 100, and a sign of what it is below or above where all are too few."""
    size, minus = abs(value), "−" if value < 0 else ""
    while digits < FINEST and _at_an_end(size, digits):
        digits += 1
    if not _at_an_end(size, digits):
        return f"{minus}{size:.{digits}f}"
    step = 10.0**-FINEST
    if size < 50:
        return f"{'>−' if minus else '<'}{step:.{FINEST}f}"
    return f"{'<−' if minus else '>'}{100 - step:.{FINEST}f}"


def _at_an_end(size: float, digits: int) -> bool:
    """Whether rounding puts at 0 or 100 what is not there."""
    return 0 < size < 100 and round(size, digits) in (0.0, 100.0)


__all__ = ["percent", "points", "share", "short_percent"]
