"""Labelled evidence for probes: for tests only."""

import numpy as np
import pytest

from bumperlane.types import Activations, Labelled, numbered


@pytest.fixture(autouse=True)
def same_numbers_in_any_order(request):
    """The random numbers of a test do not depend on which tests ran before it."""
    generator = getattr(request.module, "RNG", None)
    if generator is not None:
        generator.bit_generator.state = np.random.default_rng(1234).bit_generator.state


@pytest.fixture
def labelled():
    """Makes Labelled of the rows of both kinds."""

    def make(good, bad, layer=12):
        rows, n = np.concatenate([good, bad]), len(good) + len(bad)
        return Labelled(Activations(rows, numbered(n), layer), np.arange(n) >= len(good))

    return make
