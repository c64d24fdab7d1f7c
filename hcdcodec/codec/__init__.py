"""Encode one picture to a header and an LR, and decode it again."""
