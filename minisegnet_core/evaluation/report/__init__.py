"""The report: its values, its HTML page and charts, and recordings of the results."""
