"""Limits on pictures that users may change; this module loads nothing, so that the command line can name them."""

DEFAULT_MAX_PIXELS = 1 << 28
"""Height times width above which nothing is decoded."""
