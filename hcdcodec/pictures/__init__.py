"""A picture in memory, and its ordinary files. Nothing in this package knows the format of the small file."""
