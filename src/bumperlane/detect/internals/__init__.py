"""Bumpers that look inside a subject."""
