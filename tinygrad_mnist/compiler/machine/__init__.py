"""Programs as machine code, by numba; nothing else depends on this package."""
