"""Planted causes: models made wrong on purpose, known to the test and to nobody else in the program."""
