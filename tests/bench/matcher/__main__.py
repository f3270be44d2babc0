"""Run one row, with so many jobs if it takes a number, and print its figures as JSON."""

import sys

import msgspec

from .rows import LONG, ROWS


def main() -> int:
    """Run the row that the command line names."""
    name, *jobs = sys.argv[1:]
    figures = (ROWS | LONG)[name](*map(int, jobs))
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
