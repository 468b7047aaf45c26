"""Evaluation of a model: ``sources``, ``scoring``, ``statistics`` and ``report``, in this order.

:func:`~minisegnet_core.evaluation.run.evaluate` does all of it. A ``plan`` lists the ``job`` of each source.
"""
