"""A network at work: on a device, over tiles, in batches."""
