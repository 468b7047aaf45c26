"""Frames with their ground truth, from data sets, folders of images, videos and ROS bags."""
