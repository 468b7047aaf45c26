"""Limits that several modules check."""

WIDTH_MULT_RANGE = (0.25, 2.0)
"""Minimum and maximum width multiplier of the network."""

CHANNEL_DIVISOR = 8
"""Channel counts of the network are multiples of this, which suits vector instructions."""


def scaled_channels(channels: int, width_mult: float) -> int:
    """Scale a channel count and round it to a multiple of CHANNEL_DIVISOR."""
    return max(CHANNEL_DIVISOR, round(channels * width_mult / CHANNEL_DIVISOR) * CHANNEL_DIVISOR)
