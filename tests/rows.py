"""Activations from arrays: for tests only."""

import numpy as np

from bumperlane.types import Activations, PairedActivations, numbered


def rows(array, layer=12, start=0):
    array = np.asarray(array, float)
    return Activations(array, numbered(len(array), start), layer)


def pair(subject, base, layer=12):
    return PairedActivations(rows(subject, layer), rows(base, layer))
