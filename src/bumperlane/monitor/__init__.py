"""Deployment: a gate that fails closed."""
