"""Bumpers that learn from labelled activations what misbehaviour looks like inside."""
