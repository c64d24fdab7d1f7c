"""Many files: reading, computing and writing overlap."""
