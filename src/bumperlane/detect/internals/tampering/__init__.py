"""Measurement tampering: did what the sensors report come about, or were the sensors made to report it?"""
