"""The command line, one module for each kind of command; `hcdcodec.cli.command` puts them together.

torch is imported inside the functions that compute, so that --help, --version and info answer at once.
"""

from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; see `hcdcodec.cli.command`."""
    from hcdcodec.cli.command import main

    main()
