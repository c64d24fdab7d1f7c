"""The small file: header, container, LR grid, and the compression of its PNG."""
