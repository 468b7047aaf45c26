"""Evaluate a model in four steps: ``sources``, ``scoring``, ``statistics`` and ``report``.

:func:`~minisegnet_core.evaluation.run.evaluate` runs all of them. A ``plan`` lists the ``job`` of each source.
"""
