"""Carry several recipes out one after another in one process, which starts Python and its libraries once.

    python -m bumperlane.recipes.many_retrains RECIPE OUT [RECIPE OUT ...]

Each run is what `bumperlane train RECIPE -o OUT` would make, byte for byte: the runs share the process, and no number.
What one says stands in OUT.log.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from ..errors import BumperlaneError
from .train import train


def carry_out_all(pairs: Sequence[tuple[Path, Path]]) -> int:
    """Train each (recipe, out) that is not complete, in order. Returns 0, or the exit code of the first that failed."""
    for recipe, out in pairs:
        code = _carry_out(recipe, out)
        if code:
            return code
    return 0


def _carry_out(recipe: Path, out: Path) -> int:
    """One run, with standard output and error in its log. 2 for an error that a user can mend, 1 for another."""
    with open(out.with_suffix(".log"), "w") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
        try:
            train(recipe, out)
        except BumperlaneError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            return 2
        except Exception:
            traceback.print_exc()
            return 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
    return 0


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    sys.exit(carry_out_all(list(zip(given[::2], given[1::2], strict=True))))
