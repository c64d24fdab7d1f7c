"""Put the commands together, and turn errors into one line and an exit status.

0    all done, or up to date          3    nothing could start: weights are missing
1    some failed, or left to do       75   another run holds the destination
2    the call makes no sense          129, 130, 143   interrupted
"""

import importlib
import logging
import signal
import sys
import warnings
from typing import NoReturn

import click

from hcdcodec.cli import click_errors, encode_decode, exits, models, output
from hcdcodec.cli.compare import compare
from hcdcodec.cli.groups import Workflow
from hcdcodec.cli.help_topics import help_topic
from hcdcodec.cli.info import info
from hcdcodec.cli.train import train
from hcdcodec.cli.trial import try_settings
from hcdcodec.cli.verify import verify
from hcdcodec.errors import HcdError, ModelError, OutputError
from hcdcodec.files.names import printable


@click.group(cls=Workflow, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="hcdcodec", prog_name="hcdcodec")
def cli() -> None:
    """Store pictures as small pictures. Lossy: keep your originals, or compare before you delete them.

    encode makes a PNG of a quarter of the width and height, which any viewer opens. decode makes a picture of full size
    from it again. 'hcdcodec help' lists pages to read.
    """
    from hcdcodec.networks.native.library import allowed_levels

    # Here, as otherwise each picture would fail by itself.
    allowed_levels()


for command in (
    try_settings,
    encode_decode.encode,
    encode_decode.decode,
    encode_decode.status,
    info,
    verify,
    compare,
    models.models,
    train,
    help_topic,
):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line and turn errors into one line and an exit status."""
    output.prepare()
    # As an exception, SIGTERM runs every `finally`: temporary files go, and half-done writes are finished.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(exits.TERMINATED))
    # So does a terminal that closes, or a connection that is lost; but `nohup` lets a run go on.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: sys.exit(exits.HUNG_UP))
    # Pillow's warnings about odd files that it can read help nobody, and cron would mail them.
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    warnings.showwarning = _tell_warning
    try:
        # In standalone mode, click would handle errors and interrupts itself, with other messages and exit statuses.
        cli.main(prog_name="hcdcodec", standalone_mode=False)
    except SystemExit as leaving:
        sys.exit(output.finish(int(leaving.code or 0)))
    except click.ClickException as error:
        click_errors.tell(error)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(exits.INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has ended, such as `head`.
        output.leave_quietly()
        sys.exit(exits.FAILED)
    except OSError as error:  # for example no space for the text of `--help`; errors of one picture never come here
        output.leave_quietly()
        output.fail(f"hcdcodec: {(error.strerror or str(error)).lower()}; check where the output of this command goes")
        sys.exit(exits.FAILED)
    except HcdError as error:
        output.fail(f"hcdcodec: {printable(str(error))}")
        sys.exit(_status_of(error))
    except MemoryError:
        sys.exit(_leave_short())
    except ImportError as error:  # a package that is broken, or that does not fit into memory
        reason = printable(next(iter(str(error).split("\n")), ""))
        output.fail(f"hcdcodec: a package cannot be loaded ({reason}); free some memory, or install hcdcodec again")
        sys.exit(exits.FAILED)
    except RuntimeError as error:
        sys.exit(_leave_broken(error))
    sys.exit(output.finish(0))


def _tell_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Say a warning in one line, such as PyTorch's that the driver of a GPU is too old."""
    words = printable(" ".join(str(message).split()).partition(" (Triggered internally")[0])
    output.say(f"hcdcodec: {words}", output.WARNING)


def _status_of(error: HcdError) -> int:
    """Return the exit status of an error that ended a command."""
    if isinstance(error, ModelError):
        return exits.WEIGHTS
    return exits.FAILED if isinstance(error, OutputError) else exits.USAGE


def _leave_broken(error: RuntimeError) -> int:
    """Return the exit status where threads or memory did not suffice.

    Raises:
        RuntimeError: it is something else.
    """
    # A signal that arrives while `threading` releases a lock makes the release fail. The signal is the real reason.
    if isinstance(error.__context__, SystemExit):
        return int(error.__context__.code or 0)
    if isinstance(error.__context__, KeyboardInterrupt):
        return exits.INTERRUPTED
    if "can't start new thread" in str(error):
        output.fail("hcdcodec: no more threads can be started; end other programs or raise the limit (ulimit -u)")
        return exits.FAILED
    if "torch" in sys.modules and importlib.import_module("hcdcodec.engine.devices").is_shortage(error):
        return _leave_short()
    raise error


def _leave_short() -> int:
    output.fail("hcdcodec: not enough memory; end other programs, or give smaller pictures")
    return exits.FAILED
