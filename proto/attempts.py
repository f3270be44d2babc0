"""Words about an attempt: how it ended, why the central stops it, and the file of its usage.

The client uses them too. They are apart from the messages of pilots, which take 40 ms to load.
"""

import enum


class How(str, enum.Enum):
    """The end of an attempt."""

    EXITED = "exited"  # the payload ended by itself, with `exit_code`
    SIGNALLED = "signalled"  # a signal ended the payload, not from the pilot
    WALL = "wall"  # over its limit of wall time
    CPU = "cpu"  # over its limit of CPU time
    MEMORY = "memory"  # over its limit of memory
    SCRATCH = "scratch"  # over the disk space of its folder
    STREAMS = "streams"  # over its limit of standard output and error
    PROCESSES = "processes"  # over its limit of processes
    STALLED = "stalled"  # no CPU use for as long as its limit
    OUTPUT = "output"  # a required output is missing, or outputs are too large
    QUOTA = "quota"  # its outputs exceed a quota of its owner, group or community
    NO_START = "no_start"  # it could not start, or its input is unusable; `detail` says why
    INPUT = "input"  # its input could not be fetched
    STORAGE = "storage"  # no storage took its data: the work is lost and runs again
    SOFTWARE = "software"  # its software or image is missing on this node, or cannot run there
    KILLED = "killed"  # the central stopped it
    DRAINED = "drained"  # the pilot had to end; costs no retry
    CHECKPOINTED = "checkpointed"  # left a checkpoint after its warning; costs no retry
    DECLINED = "declined"  # never started: too late, it no longer fits, or the guard is dead
    LOST = "lost"  # found dead after a restart of the pilot on the same host and boot
    STALE = "stale"  # killed because the central called it stale
    UNREADABLE_REPORT = "unreadable_report"  # the central refused the full report
    OTHER = "other"  # a word that this version does not know

    @classmethod
    def _missing_(cls, value: object) -> "How":
        return cls.OTHER


class Why(str, enum.Enum):
    """The reason why the central wants an attempt to stop."""

    KILL = "kill"
    HOLD = "hold"
    RESCHEDULE = "reschedule"
    OTHER = "other"

    @classmethod
    def _missing_(cls, value: object) -> "Why":
        return cls.OTHER


class Stream(str, enum.Enum):
    OUT = "stdout"
    ERR = "stderr"
    USAGE = "usage"  # use of resources, one line a sample (docs/resource-curve.md)
