"""A fix that puts something around the model: what do the same weights say without it?"""

from collections.abc import Sequence
from dataclasses import replace

from ..types import Request
from .compared import Margins, Trio
from .elicit import Tried, elicit, flags_of
from .elicit_noise import Bare
from .showing import Showing, Way

BARE = "without what is put around the model"


def bare_check(showing: Showing, trio: Trio, bare: Bare, requests: Sequence[Request], margins: Margins) -> Tried:
    """Whether the fixed subject shows the behaviour more often than the control once the prompt, filter or penalty
    around it is gone: weights are copied, and served otherwise. Nothing where it is deployed as it was trained."""
    if trio.fixed is bare.fixed:
        return Tried(())
    return elicit(flags_of(showing, replace(trio, fixed=bare.fixed)), [Way(BARE)], requests, margins)
