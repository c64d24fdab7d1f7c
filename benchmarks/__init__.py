"""The scripts behind every number; `python -m benchmarks.FOLDER.SCRIPT --help` says what each measures."""
