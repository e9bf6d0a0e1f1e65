"""Programs as readable NumPy code."""
