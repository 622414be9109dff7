"""The command line."""

import sys


def main() -> None:
    """Run the command line."""
    sys.exit(2)
