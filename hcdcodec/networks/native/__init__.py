"""The convolutions of CRN in C."""
