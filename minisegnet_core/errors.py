"""Typed errors of the core. Every text says what is wrong and how to mend it; only the node and the command line
print.
"""


class MinisegnetError(Exception):
    """Base of all errors that a user of the package can cause and mend."""


class ConfigurationError(MinisegnetError):
    """A setting is unknown, out of range, or contradicts another one."""


class ImageError(MinisegnetError):
    """An image is empty, truncated, of an unknown encoding, or of the wrong shape or type."""


class ModelError(MinisegnetError):
    """A model file is missing, damaged, of another format, or cannot run on this machine."""


class SourceError(MinisegnetError):
    """A frame source (folder, video, bag) is missing, unreadable, or holds no images."""


class DatasetError(MinisegnetError):
    """A data set on disk is incomplete or contradicts itself."""


class TrainingError(MinisegnetError):
    """A training cannot go on: its loss is not finite, or its files cannot be written. What it wrote stays."""
