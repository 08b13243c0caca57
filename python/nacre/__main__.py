"""`python -m nacre run script.py`: runs a program that was written for Keras."""

from __future__ import annotations

import argparse
import sys

from nacre import __version__


def main() -> int:
    """Reads the command line and does what it says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m nacre", description="Runs programs that were written for Keras.")
    parser.add_argument("--version", action="version", version=f"nacre {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a script with nacre in place of keras and tensorflow.keras")
    run.add_argument("script")
    run.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    from nacre.compat import run_script

    return int(run_script(options.script, options.arguments))


if __name__ == "__main__":
    sys.exit(main())
