"""Search for contexts in which a subject departs from its base, with a budget, a log and held-out confirmation."""
