"""Bounds that more than one module checks."""

WIDTH_MULT_RANGE = (0.25, 2.0)
"""Smallest and largest width multiplier of the network."""
