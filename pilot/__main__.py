"""`pilot.pyz run` and `pilot.pyz guard FD`: the pilot as a program.

0   drained, idle or out of time, everything told
2   wrong options or settings
10  a newer session of this pilot is alive
11  the central has another store: our past is gone
12  the central refuses us
13  the guard has died
14  another pilot lives in this state directory
"""

import sys
from typing import Optional


def main(argv: Optional[list[str]] = None) -> int:
    """Run what the command line says and return the exit code."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["guard"]:
        # Before anything heavy is imported: the guard has to stay small.
        from .guard import main as guard

        guard(int(words[1]))
        return 0
    from .start import start

    return start(words)


if __name__ == "__main__":
    raise SystemExit(main())
