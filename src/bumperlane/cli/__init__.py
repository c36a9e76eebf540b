"""The commands, thin. stdout holds the result (with --json nothing else), stderr progress and errors.

Exit codes: 0 clear, done or treated; 1 hit, or a fix that does not hold; 2 error; 3 blind, inconclusive or not found.
130 when interrupted: finished work is kept, and the same command goes on.
"""

from . import begin, detect, judge, loop, organisms, organisms_game, pressure, recipes, search, show  # noqa: F401  (a command hangs itself on the group when it is imported)
from .main import main

__all__ = ["main"]
