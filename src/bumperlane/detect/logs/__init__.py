"""Bumpers that look at what a run has logged."""
