"""Evaders: subjects made somewhat adversarial, so that a behaviour stays while a given detector is kept quiet."""
