"""Bumpers that look at what a subject does."""
