"""Running trained models; see :class:`~minisegnet_core.inference.segmenter.Segmenter`."""
