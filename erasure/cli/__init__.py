"""The command line: `python -m erasure <command>`. One module per group of commands; settings come from `EraseConfig`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ..errors import ErasureError
from ..version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a word the terminal cannot show must not end the run
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # models come from disk; nothing is fetched behind the user's back
    args = build_parser().parse_args(argv)
    try:
        return args.run(args) or 0
    except ErasureError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    from . import inspect_files, look, train  # the command modules import this package

    parser = argparse.ArgumentParser("python -m erasure", description="Erase a concept from a text-to-image diffusion model; the result is an ordinary LoRA file.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for module in (train, look, inspect_files):
        module.add_commands(commands)
    return parser
