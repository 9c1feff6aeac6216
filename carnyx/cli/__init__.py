"""The command `carnyx`.

A subcommand is a file here with `add(commands)`, which adds and returns its parser; the
parser's default `run` takes the parsed arguments and returns the exit code.

>>> main(["--version"])
carnyx 0.1.0
0
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from carnyx._version import __version__
from carnyx.cli import launch
from carnyx.errors import ArgumentError, CarnyxError, nearest

_COMMANDS = (launch,)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (the process's own by default); the exit code."""
    try:
        args, unknown = _parser().parse_known_args(argv)
        if unknown:
            raise ArgumentError(
                f"{args.name} got the unknown option {unknown[0]!r}."
                f"{nearest(unknown[0], args.options)} See carnyx {args.name} --help."
            )
        return args.run(args)
    except SystemExit as exit:  # of argparse: --help, or an error that it has told
        return exit.code if isinstance(exit.code, int) else 1
    except KeyboardInterrupt:
        return 130
    except CarnyxError as error:
        print(f"carnyx: error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="carnyx", description="Keras on JAX.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"carnyx {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        added = command.add(commands)
        name = added.prog.removeprefix("carnyx ")
        added.set_defaults(name=name, options=list(added._option_string_actions))
    return parser
