"""Compare originals with their reconstructions."""
