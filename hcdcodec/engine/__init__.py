"""Run a network on a device, over tiles, in batches."""
