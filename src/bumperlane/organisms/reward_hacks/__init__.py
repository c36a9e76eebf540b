"""Policies that learn to exploit a reward term; other terms, and whole environments, are decoys."""
