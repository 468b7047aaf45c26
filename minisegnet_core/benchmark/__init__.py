"""Measurement of engines, precisions and sizes on this machine."""
