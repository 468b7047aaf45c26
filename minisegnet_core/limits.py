"""Limits that several modules check."""

WIDTH_MULT_RANGE = (0.25, 2.0)
"""Minimum and maximum width multiplier of the network."""

MAX_MEGAPIXELS = 100.0
"""Default of the largest image file that is read, in 10^6 pixels."""

MAX_NESTING = 100
"""Maximum depth of the lists and mappings in a text file."""

MAX_ALIASED_VALUES = 100_000
"""Maximum number of values that the aliases of a YAML file repeat."""

MAX_MESSAGE = 300
"""Maximum length of a message in characters."""

CHANNEL_DIVISOR = 8
"""Channel counts of the network are multiples of this, which suits vector instructions."""


def scaled_channels(channels: int, width_mult: float) -> int:
    """Scale a channel count and round it to a multiple of CHANNEL_DIVISOR."""
    return max(CHANNEL_DIVISOR, round(channels * width_mult / CHANNEL_DIVISOR) * CHANNEL_DIVISOR)
