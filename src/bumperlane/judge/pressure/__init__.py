"""The same questions under pressure: more attempts, temperature, more turns, a little training toward the bait."""
