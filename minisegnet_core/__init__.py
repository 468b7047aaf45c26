"""minisegnet: fast semantic segmentation for robot soccer. This package knows no ROS."""

__version__ = '0.1.0'
