"""Comparison of predictions with ground truth, frame by frame and summed over all frames."""
