"""This process keeps to itself: no other one of the same user reads its memory or environment.

Without a PID namespace around payloads they see the processes of the pilot, whose user they are.
A process that is not dumpable is closed to them all the same: no /proc/PID/mem, environ or fd, no
ptrace. Root looks into everything.
"""

import ctypes

_PR_SET_DUMPABLE = 4


def close_to_others() -> None:
    """Close this process to others; a program that it starts is open again."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
