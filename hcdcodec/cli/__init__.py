"""The command line: one module for each group of commands. `hcdcodec.cli.command` puts them together.

torch is imported inside the functions that compute. So --help, --version and info answer at once.
"""

from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; see `hcdcodec.cli.command`."""
    # Inside the function, because entry points import this package before anything else.
    from hcdcodec.cli.command import main

    main()
