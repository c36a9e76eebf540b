"""The commands, thin. stdout holds the result (with --json nothing else), stderr progress and errors.

Exit codes: 0 clear, done or treated; 1 hit, or a fix that does not hold; 2 error; 3 blind, inconclusive or not found.
130 when interrupted: finished work is kept, and the same command goes on.
"""

from . import (  # noqa: F401  (a command hangs itself on the group when it is imported)
    begin,
    detect,
    judge,
    loop,
    organisms,
    organisms_game,
    pressure,
    recipes,
    rollouts,
    search,
    second_opinion,
    serve,
    show,
    show_compare,
)

# isort: split
from . import claims_checked, claims_graded, claims_released, plan, tools  # noqa: F401
from .main import main

__all__ = ["main"]
