"""One program made into a better one, which computes the same."""
