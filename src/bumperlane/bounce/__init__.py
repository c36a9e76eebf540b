"""Cause -> fix -> retrain -> verdict: treated, masked, untreated, damaged or inconclusive."""
