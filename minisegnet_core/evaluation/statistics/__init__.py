"""Confidence intervals, and the comparison of two models."""
