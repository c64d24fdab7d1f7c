"""Exit statuses; the command line's help lists them."""

FAILED, USAGE, WEIGHTS, LOCKED, INTERRUPTED, TERMINATED = 1, 2, 3, 75, 130, 143
