"""`pilot.pyz run`, `detect` and `guard FD`: the pilot as a program.

`once` before another word: this file lies in a folder of its own and goes when the program ends.

0   drained, idle or out of time, everything told; or told to end before the central knew us
2   wrong options or settings
10  its session is over: another life of this pilot is alive, or its secret was stolen
11  the central has another store: our past is gone
12  the central refuses us
13  the guard has died
14  another pilot lives in this state directory
15  nobody answers at the address of the central
16  payloads must run in namespaces, and this node has none
"""

import os
import sys
from typing import Optional


def main(argv: Optional[list[str]] = None) -> int:
    """Run what the command line says and return the exit code."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["guard"]:
        # Before anything heavy is imported: the guard has to stay small.
        from .guard.guard import main as guard

        guard(int(words[1]))
        return 0
    once = words[:1] == ["once"]
    words = words[once:]
    try:
        code = _run(words, hide_code=once)
    finally:
        if once:
            _remove_code()
    if argv is None and words[:1] != ["detect"]:
        # A thread may still wait for a name server or a handshake: it must not hold us up.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(words: list[str], *, hide_code: bool) -> int:
    if words[:1] == ["detect"]:
        from .node.survey import survey

        return survey(words[1:])
    from .start import start

    return start(words, hide_code=hide_code)


def _remove_code() -> None:
    """Remove the file that we run from, and its folders if nothing else is there."""
    from .own_code import root

    ours = [(os.unlink, root()), (os.rmdir, root().parent)]
    if root().parent.parent.name == f"pilotage-{os.geteuid()}":  # of all pilots of this user
        ours.append((os.rmdir, root().parent.parent))
    for remove, path in ours:
        try:
            remove(path)
        except OSError:
            return


if __name__ == "__main__":
    raise SystemExit(main())
