"""Limits on pictures that users may change. This module imports nothing, so the command line can show them at once."""

DEFAULT_MAX_PIXELS = 1 << 28
"""Largest number of pixels, height times width, that is decoded."""
