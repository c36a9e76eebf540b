"""What may be said on the evidence of a case, what may not, and what would change it."""
