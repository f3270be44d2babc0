"""Words about an attempt: how it ended, why the central stops it, what it writes to.

The client knows them too. It loads them without the messages of pilots, which take 40 ms.
"""

import enum


class How(str, enum.Enum):
    """How an attempt ended."""

    EXITED = "exited"  # the payload ended by itself; `exit_code` says how
    SIGNALLED = "signalled"  # the payload died of a signal that was not ours
    WALL = "wall"  # it ran longer than its need said
    CPU = "cpu"  # it used more CPU time than its limit
    MEMORY = "memory"  # it used more memory than it was given
    SCRATCH = "scratch"  # it wrote more to its folder than it was given
    STREAMS = "streams"  # it wrote more to its standard output and error than their limit
    PROCESSES = "processes"  # it had more processes at once than its limit
    STALLED = "stalled"  # none of its processes used the CPU for as long as its limit says
    OUTPUT = "output"  # a required output is missing, or outputs are too large
    QUOTA = "quota"  # its outputs are more than its owner, group or community may keep
    NO_START = "no_start"  # it could not be started, or its input is useless; `detail` says why
    INPUT = "input"  # its input could not be brought
    STORAGE = "storage"  # no storage took its data: the work is lost, and done anew elsewhere
    SOFTWARE = "software"  # its software or its image is not on this node, or cannot run there
    KILLED = "killed"  # stopped because the central wanted it
    DRAINED = "drained"  # stopped because the pilot had to go: costs no retry
    CHECKPOINTED = "checkpointed"  # warned, it left its checkpoint and ended itself: no retry
    DECLINED = "declined"  # never started: too late, or it fits no more
    LOST = "lost"  # seen dead on this host and boot after a restart of the pilot
    STALE = "stale"  # killed because the central called it stale
    UNREADABLE_REPORT = "unreadable_report"  # the central refused the full report
    OTHER = "other"  # a word that this central does not know

    @classmethod
    def _missing_(cls, value: object) -> "How":
        return cls.OTHER


class Why(str, enum.Enum):
    """Why the central wants an attempt to stop."""

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
    USAGE = "usage"  # what the payload uses, a line a sample (docs/resource-curve.md)
