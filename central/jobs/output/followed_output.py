"""The service of live output: users follow it, and pilots send it."""

from pilotage.proto.messages import LogChunk, Stream
from pilotage.proto.problems import Code

from ...errors import Refused
from ...identity.callers import AttemptCaller, Caller, PilotCaller
from ..leases import LeaseTable
from ..queries import Queries
from .live_logs import LiveLogs
from .stream_output import StreamContent


class FollowService:
    """Checks the rights of followers and senders. `LiveLogs` connects them."""

    def __init__(self, queries: Queries, live: LiveLogs, leases: LeaseTable) -> None:
        self._queries, self._live, self._leases = queries, live, leases

    async def follow(
        self, caller: Caller, job_id: int, stream: Stream, *, pieces: bool = False
    ) -> StreamContent:
        """Return a stream as it grows, or its stored end if the job is not running."""
        return await self._queries.follow(caller, job_id, stream, pieces=pieces)

    async def chunk(self, caller: AttemptCaller | PilotCaller, chunk: LogChunk) -> None:
        """Pass on output of the caller's own attempt. Raises Refused for other attempts."""
        lease = self._leases.find(chunk.job, chunk.epoch)
        if lease is None:
            return  # the chunk is late, and its attempt is over
        mine = (
            caller.pilot == lease.pilot
            if isinstance(caller, PilotCaller)
            else (caller.job, caller.epoch, caller.attempt_id)
            == (chunk.job, chunk.epoch, lease.attempt_id)
        )
        if not mine:
            raise Refused(
                Code.FORBIDDEN,
                f"attempt {chunk.epoch} of job {chunk.job} belongs to another pilot or token",
                field="job",
            )
        self._live.chunk(chunk)
