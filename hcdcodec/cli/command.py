"""The command line: puts the commands together, turns errors into one line and an exit status.

0    all done, or up to date          3    nothing could start for want of weights
1    some failed, or left to do       75   another run holds the destination
2    the call makes no sense          130, 143   interrupted
"""

import logging
import os
import signal
import sys
import warnings
from typing import NoReturn

import click

from hcdcodec.cli import encode_decode, exits, info, models
from hcdcodec.cli.compare import compare
from hcdcodec.cli.train import train
from hcdcodec.errors import HcdError, ModelError
from hcdcodec.files.names import printable


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="hcdcodec", prog_name="hcdcodec")
def cli() -> None:
    """Store pictures as small pictures.

    encode turns each picture into a PNG of 1/scale the size each way that any viewer opens; decode restores it.
    """


for command in (
    encode_decode.encode,
    encode_decode.decode,
    encode_decode.status,
    info.info,
    info.verify,
    compare,
    models.models,
    train,
):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line and turn errors into one line and an exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(exits.TERMINATED))
    # What Pillow remarks on a file without refusing it helps nobody, least of all cron.
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    try:
        cli.main(prog_name="hcdcodec", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(exits.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read us has gone; the interpreter must not complain about it while it closes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(exits.FAILED)
    except HcdError as error:
        click.echo(f"hcdcodec: {printable(str(error))}", err=True)
        sys.exit(exits.WEIGHTS if isinstance(error, ModelError) else exits.USAGE)
    except RuntimeError as error:
        # A signal that comes while threading gives a lock back makes that lock fail; what counts is the signal.
        if isinstance(error.__context__, SystemExit):
            sys.exit(error.__context__.code)
        if isinstance(error.__context__, KeyboardInterrupt):
            sys.exit(exits.INTERRUPTED)
        raise
    sys.exit(0)
