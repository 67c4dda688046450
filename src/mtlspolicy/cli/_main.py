"""Runs one command and turns its end into an exit status: 0 done or permitted, 1 refused, 2 wrong usage or set-up.

No error of ours becomes a traceback, and hostile text in a message is escaped by the error that carries it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from mtlspolicy.cli._flags import build_parser
from mtlspolicy.cli._output import complain
from mtlspolicy.errors import MTLSPolicyError

INTERRUPTED: Final = 130
"""128 + SIGINT, as shells count."""
BROKEN_PIPE: Final = 141
"""128 + SIGPIPE: the reader of our output has gone, ``head`` for example."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        argv: Arguments without the program's name; ``None`` stands for those of this program.

    Returns:
        0 done or permitted, 1 refused or not as expected, 2 wrong usage or configuration, 130 interrupted, 141 nobody
        reads the output any more.
    """
    try:
        arguments = build_parser().parse_args(argv)
        status = int(import_module(f"mtlspolicy.cli.{arguments.module}").run(arguments))
        sys.stdout.flush()
    except SystemExit as end:  # argparse: --help, --version, wrong usage
        return 0 if end.code == 0 else 2
    except MTLSPolicyError as error:
        complain(f"mtlspolicy: {error}")
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return BROKEN_PIPE
    return status


def _forget_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter's own flush at exit does not complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    finally:
        os.close(nowhere)
