"""Inference engines; see :mod:`~minisegnet_core.inference.engines.registry` for how to add one."""
