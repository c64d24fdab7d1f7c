"""Exit statuses; the command line's help lists them."""

# 2 is click's status for a wrong call, 75 is EX_TEMPFAIL of sysexits.h ("try again later"), and shells use 128 + the
# number of the signal.
FAILED, USAGE, WEIGHTS, LOCKED, HUNG_UP, INTERRUPTED, TERMINATED = 1, 2, 3, 75, 129, 130, 143
