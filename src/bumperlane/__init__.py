"""Bumperlane: put up bumpers along a training run; trace a hit to its cause, fix it, and check that the fix holds."""

__version__ = "0.1.0"
