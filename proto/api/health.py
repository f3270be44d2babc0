"""Bodies of answers about the state of the central."""

from .bodies import ReplyStruct as _Out


class Health(_Out, frozen=True):
    status: str
    version: str
    gen: str
    jobs_waiting: int
    attempts: int
    pilots: int
    bus: str  # mqtt://…, or "down"
    uptime_s: float
    leader: str = ""  # URL of the leader, if several processes may lead
    undelivered: int = 0  # results that pilots could not deliver so far
    undelivered_s: float = 0.0  # age of the oldest of these results


class Readiness(_Out, frozen=True):
    """Whether the central takes requests, and why not."""

    ready: bool  # it has loaded, and the store can be written
    loaded: bool  # the queue is rebuilt, and no stop has begun
    store: str  # `ok`, or why it cannot be written
    bus: str  # up, down or none; without it everything works, only slower
    disk: str = "ok"  # `ok`, or the refused requests, to keep space for reports
