"""Rescaling networks and their weights."""
