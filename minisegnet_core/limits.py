"""Limits that several modules check."""

WIDTH_MULT_RANGE = (0.25, 2.0)
"""Minimum and maximum width multiplier of the network."""
