"""Imports modules as they are named on standard input: a page's Python, block after block.

The mark behind each says that it has come to its end; a block that fails ends the session.
"""

import importlib
import os
import sys

MARK = "--- end of block"


def main() -> None:
    """Import what is named until the input ends."""
    sys.path.insert(0, os.getcwd())
    for line in sys.stdin:
        importlib.import_module(line.strip())
        print(MARK, flush=True)


if __name__ == "__main__":
    main()
