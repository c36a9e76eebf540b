"""The game: organisms with planted causes go through the whole loop, and what it says is held against their keys."""
