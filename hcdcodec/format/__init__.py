"""The small file: header, container, LR grid, and the program that compresses its PNG."""
