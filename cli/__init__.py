"""The `helvetia` command."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

from helvetia.kernel.errors import ExitCode

_INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command line of this process and exit."""
    # Loading makes many objects and no garbage; whoever runs longer turns it on again.
    gc.disable()
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")
    try:
        code = execute(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has enough. Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = ExitCode.ERROR
    sys.exit(code)


def execute(arguments: list[str]) -> int:
    """Run one command line and return its exit code; errors are printed."""
    import typer

    from .root import app

    try:
        command = typer.main.get_command(app)
        code = command.main(arguments or ["--help"], prog_name="helvetia", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        from .failing import tell

        return tell(error, as_json="--json" in arguments)
    return code if isinstance(code, int) else ExitCode.OK
