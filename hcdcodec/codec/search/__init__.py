"""The search of the LR against its own decoder."""
