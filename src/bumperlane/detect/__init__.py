"""Bumpers: one file each, registered by a decorator that refuses them when something is missing."""
