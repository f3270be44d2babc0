"""`pilot.pyz run`, `detect` and `guard FD`: the pilot as a program.

`once` before another word: this file is in its own folder, and is removed when the program ends.

Exit codes:

    0   drained, idle or out of time, everything reported; or ordered to end before registration
    2   wrong options or settings
    10  the session is over: another process speaks as this pilot, or its secret was stolen
    11  the central has a different store: this pilot's past is lost
    12  the central refuses this pilot
    13  the guard has died
    14  another pilot uses this state directory
    15  nobody answers at the address of the central
    16  payloads must run in namespaces, and this node has none
"""

import os
import sys
from typing import Optional


def main(argv: Optional[list[str]] = None) -> int:
    """Run the command of the command line and return the exit code."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["guard"]:
        # Before any heavy import, because the guard must stay small.
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
        # A thread may still wait for a name server or a TLS handshake: do not wait for it.
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
    """Remove the file that the pilot runs from, and its folders if they are empty."""
    from .own_code import root

    ours = [(os.unlink, root()), (os.rmdir, root().parent)]
    # The folder of all pilots of this user.
    if root().parent.parent.name == f"pilotage-{os.geteuid()}":
        ours.append((os.rmdir, root().parent.parent))
    for remove, path in ours:
        try:
            remove(path)
        except OSError:
            return


if __name__ == "__main__":
    raise SystemExit(main())
