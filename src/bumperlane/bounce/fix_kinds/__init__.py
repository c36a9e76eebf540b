"""Kinds of fixes, and the masking controls beside them: each one a registered class that makes one change."""
