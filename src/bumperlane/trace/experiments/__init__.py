"""Experiments that decide between open hypotheses: which retrain next, what it shows, and when to stop."""
