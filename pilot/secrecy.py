"""Protection of this process: no other process of the same user reads its memory or environment.

Without a PID namespace, payloads see the processes of the pilot, which has the same user. A process
that is not dumpable is closed to them nevertheless: no /proc/PID/mem, environ or fd, and no ptrace.
Root can read everything.
"""

import ctypes

_PR_SET_DUMPABLE = 4


def close_to_others() -> None:
    """Close this process to others; a program that it starts is open again."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
