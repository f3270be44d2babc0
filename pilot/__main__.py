"""`pilot.pyz run` and `pilot.pyz guard FD`: the pilot as a program.

0   drained, idle or out of time, everything told; or told to end before the central knew us
2   wrong options or settings
10  a newer session of this pilot is alive
11  the central has another store: our past is gone
12  the central refuses us
13  the guard has died
14  another pilot lives in this state directory
15  nobody answers at the address of the central
"""

import os
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

    code = start(words)
    if argv is None:
        # A thread may still wait for a name server or a handshake: it must not hold us up.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
