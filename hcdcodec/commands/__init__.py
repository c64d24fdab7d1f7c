"""The commands, one file for each kind of work; `hcdcodec.cli` puts them together.

torch is imported inside the functions that compute, so that --help, --version and info answer at once.
"""
