"""Importers of labelled images, one module per format. An importer lists its images; threads read them later."""
