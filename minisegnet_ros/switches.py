"""Switches of launch files: the words that turn something on or off."""

TRUE = ('true', 'True', '1', 'yes', 'on')
FALSE = ('false', 'False', '0', 'no', 'off')

SWITCH = (*TRUE, *FALSE)
"""What a switch may be; another word is a mistake, not off."""
