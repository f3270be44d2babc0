"""Stores the logs of pilots within bounds, and shows them to their readers.

The central trusts the text of a pilot's lines, but not its identity: that comes from its token.
A line belongs to a job only if its attempt was this pilot's, so no pilot can write into the log
of another one's job.
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from pilotage.proto.api.pilots import PilotLogFilter, PilotLogLine, PilotLogPage
from pilotage.proto.messages import Node, PilotLine, PilotLog, PilotLogKept
from pilotage.proto.problems import Code

from ..accounts.record_series import DAY_S
from ..errors import Refused
from ..identity.callers import PilotCaller, User
from ..identity.policy import Permission, Reach, reach
from ..jobs.queries import Queries
from ..observe.times import shown
from ..ports import Clock
from ..settings import RetentionSettings
from ..store.engine import Store
from . import record as pilot_records, record_logs as log_records
from .presence import Pilots
from .record_logs import PARCELS_PRUNED_MAX, LogLine, LogSearch, LogSource, Parcel

MB: Final = 1_000_000
LOOK_EVERY: Final = 256  # parcels that are stored between two checks of the total size
RATE_BYTES_S: Final = 8_000.0  # of log per pilot on average: twice as much as it needs
BURST_BYTES: Final = 2_000_000.0  # of log at once: the pilot may have waited long for the central
REQUEST_BYTES: Final = 500  # that each request counts, whatever its content
LINE_BYTES: Final = 50  # that each line counts in addition to its text
PLACES: Final = 1_000  # page places of a parcel: more than it has lines
PARCELS_A_LOOK: Final = 20  # parcels of one read: other tasks run between two reads
SCANNED_MAX: Final = 20_000  # lines that one request reads at most
NAMES_MAX: Final = 100  # names of events that are counted separately
OTHER: Final = "other"

# Escape line ends: the text after one would look like a line of another pilot.
_ONE_LINE: Final = str.maketrans({"\n": "\\n", "\r": "\\r"})


class LogBudget:
    """A rate limit for the log of each pilot. Pure: the allowance grows again with time."""

    def __init__(self, pilots_max: int = 100_000) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._pilots_max = pilots_max  # beyond it, the longest silent pilot is forgotten

    def take(self, pilot: str, size: float, now: float) -> float:
        """Take the bytes of a request. Return the seconds that it must wait; 0: it is accepted."""
        left, at = self._left.get(pilot, (BURST_BYTES, now))
        left = min(BURST_BYTES, left + RATE_BYTES_S * max(0.0, now - at))
        wait_s = max(0.0, size - left) / RATE_BYTES_S
        self._left[pilot] = (left if wait_s else left - size, now)
        self._left.move_to_end(pilot)
        if len(self._left) > self._pilots_max:
            self._left.popitem(last=False)
        return wait_s


class LogRoom:
    """Deletes lines that are too old or too many."""

    def __init__(self, store: Store, clock: Clock, settings: RetentionSettings) -> None:
        self._store, self._clock, self._settings = store, clock, settings

    async def by_age(self) -> int:
        """Delete some parcels that are too old. Return how many; 0: none is left."""
        if not self._settings.pilot_log_days:
            return 0
        before = self._clock.wall() - self._settings.pilot_log_days * DAY_S
        return await self._store.write(
            log_records.prune_pilot_log, before, limit=PARCELS_PRUNED_MAX
        )

    async def by_size(self) -> int:
        """Delete some of the oldest parcels if the logs are too large. Return how many."""
        if await self._store.read(log_records.pilot_log_bytes) <= self._settings.pilot_log_mb * MB:
            return 0
        return await self._store.write(
            log_records.prune_pilot_log, math.inf, limit=PARCELS_PRUNED_MAX
        )


class PilotLogMemory(Protocol):
    """The tables in memory that this module needs."""

    @property
    def pilots(self) -> Pilots: ...
    @property
    def told(self) -> Counter[str]: ...


class PilotLogService:
    """Stores and shows the log lines of pilots."""

    def __init__(
        self,
        *,
        store: Store,
        memory: PilotLogMemory,
        queries: Queries,
        room: LogRoom,
        clock: Clock,
        settings: RetentionSettings,
    ) -> None:
        self._store, self._pilots, self._queries = store, memory.pilots, queries
        self._told = memory.told
        self._room, self._clock, self._settings = room, clock, settings
        self._allowance = LogBudget()
        self._kept = 0  # parcels since the last check of the total size

    # -- pilots ---------------------------------------------------------------------------------

    async def keep(self, caller: PilotCaller, message: PilotLog) -> PilotLogKept:
        """Store new lines of the caller's log, and skip the known ones.

        Raises Refused: OTHER_STORE, OLD_SESSION, TOO_MANY (the pilot logs too much).
        """
        _check_order(message.lines)
        source = await self._source(caller, message)
        size = REQUEST_BYTES + sum(
            LINE_BYTES + len(line.event) + len(line.text) for line in message.lines
        )
        wait_s = self._allowance.take(caller.pilot, size, self._clock.monotonic())
        if wait_s:
            why = f"pilot {caller.pilot} logs too much: send these {size} bytes in {wait_s:.0f} s"
            raise Refused(Code.TOO_MANY, why)
        attempts = sorted({line.attempt_id for line in message.lines if line.attempt_id})
        own = await self._store.read(log_records.attempts_of_pilot, caller.pilot, attempts)
        at = self._clock.wall()
        lines: list[LogLine] = []
        for line in message.lines:
            job, epoch = own.get(line.attempt_id, (0, 0))
            lines.append(
                LogLine(
                    n=line.n,
                    at=max(0.0, at - line.ago_s),
                    event=line.event,
                    text=line.text.translate(_ONE_LINE),
                    warning=line.warning,
                    job=job,
                    epoch=epoch,
                )
            )
        bytes_max = int(self._settings.pilot_log_mb_a_pilot * MB)
        n = await self._store.write(
            log_records.keep_pilot_log,
            source,
            lines,
            at=at,
            bytes_max=bytes_max,
            packed=log_records.pack(lines),
        )
        self._count(lines)
        await self._keep_within_bounds()
        return PilotLogKept(n=n)

    def _count(self, lines: Iterable[LogLine]) -> None:
        """Count events by name. Pilots may use any name, so only NAMES_MAX are kept apart."""
        for line in lines:
            known = line.event in self._told or len(self._told) < NAMES_MAX
            self._told[line.event if known else OTHER] += 1

    async def _source(self, caller: PilotCaller, message: PilotLog) -> LogSource:
        """Return the source of a message. A pilot's last lines come after its good-bye."""
        if message.gen != self._store.generation:
            raise Refused(
                Code.OTHER_STORE,
                "the store was restored from a backup: it does not know this pilot's session",
            )
        presence = self._pilots.find(caller.pilot)
        if presence is not None:
            session, node = presence.session, presence.node
        else:
            row = await self._store.read(pilot_records.pilot, caller.pilot)
            if row is None:
                raise Refused(Code.OLD_SESSION, f"pilot {caller.pilot} is no longer known")
            session = row.session
            node = msgspec.json.decode(row.node, type=Node) if row.node else Node(host=row.host)
        if session != message.session:
            raise Refused(
                Code.OLD_SESSION,
                f"session {message.session} is over: session {session} has begun",
            )
        return LogSource(
            pilot=caller.pilot,
            community=caller.community,
            site=caller.site,
            element=caller.element,
            host=node.host,
            batch_id=node.batch_id,
        )

    async def _keep_within_bounds(self) -> None:
        """Delete the oldest parcels if the logs are too large; check every LOOK_EVERY parcels."""
        self._kept += 1
        if self._kept >= LOOK_EVERY:
            self._kept = 0
            while await self._room.by_size():
                pass

    # -- people ---------------------------------------------------------------------------------

    async def read(
        self, caller: User, wanted: PilotLogFilter, after: int | None, limit: int
    ) -> PilotLogPage:
        """Return lines after a place. Without one, return those since `since`, or the newest.

        A caller who may only see jobs must name one, and gets only the lines of that job.
        """
        search = await self._search(caller, wanted)
        end = await self._store.read(log_records.pilot_log_end)
        if after is None and wanted.since is None:
            lines = await self._newest(search, wanted, limit, end)
            return PilotLogPage(lines=lines, after=(end + 1) * PLACES, more=False)
        return await self._onwards(search, wanted, after or 0, limit, end)

    async def _search(self, caller: User, wanted: PilotLogFilter) -> LogSearch:
        right = reach(caller, Permission.PILOT_LOG)
        if right < Reach.COMMUNITY:
            if wanted.job is None:
                why = "job: your token may only read log lines of your own jobs: name one of them"
                raise Refused(Code.FORBIDDEN, why, field="job")
            await self._queries.row(caller, wanted.job, Permission.PILOT_LOG)
        return LogSearch(
            community=None if right is Reach.ALL else caller.community or None,
            pilot=wanted.pilot,
            site=wanted.site,
            host=wanted.host,
            batch_id=wanted.batch_id,
            job=wanted.job or 0,
            since=max(0.0, wanted.since or 0.0),
        )

    async def _onwards(
        self, search: LogSearch, wanted: PilotLogFilter, after: int, limit: int, end: int
    ) -> PilotLogPage:
        found: list[PilotLogLine] = []
        parcel_id, seen = divmod(after, PLACES)  # the next parcel, and its lines seen so far
        scanned = 0
        while scanned < SCANNED_MAX:
            parcels = await self._store.read(
                log_records.pilot_log, search, after=parcel_id - 1, limit=PARCELS_A_LOOK
            )
            for parcel in parcels:
                begin = seen if parcel.parcel_id == parcel_id else 0
                for place, line in enumerate(parcel.lines[begin:], start=begin + 1):
                    if fits(line, wanted):
                        found.append(_view(parcel, line))
                    if len(found) == limit:
                        at = parcel.parcel_id * PLACES + place
                        return PilotLogPage(lines=found, after=at, more=True)
                scanned += len(parcel.lines)
            if parcels:
                parcel_id, seen = parcels[-1].parcel_id + 1, 0
            if len(parcels) < PARCELS_A_LOOK:
                at = max(after, max(parcel_id, end + 1) * PLACES)
                return PilotLogPage(lines=found, after=at, more=False)
        return PilotLogPage(lines=found, after=parcel_id * PLACES, more=True)

    async def _newest(
        self, search: LogSearch, wanted: PilotLogFilter, limit: int, end: int
    ) -> list[PilotLogLine]:
        found: list[PilotLogLine] = []
        before, scanned = end + 1, 0
        while scanned < SCANNED_MAX:
            parcels = await self._store.read(
                log_records.pilot_log_back, search, before=before, limit=PARCELS_A_LOOK
            )
            for parcel in parcels:
                for line in reversed(parcel.lines):
                    if fits(line, wanted):
                        found.append(_view(parcel, line))
                    if len(found) == limit:
                        return found[::-1]
                scanned += len(parcel.lines)
                before = parcel.parcel_id
            if len(parcels) < PARCELS_A_LOOK:
                break
        return found[::-1]


def fits(line: LogLine, wanted: PilotLogFilter) -> bool:
    """Return whether a line of a matching parcel matches the filter too."""
    if wanted.job is not None and line.job != wanted.job:
        return False
    if wanted.warnings and not line.warning:
        return False
    if wanted.since is not None and line.at < wanted.since:
        return False
    word = wanted.grep.casefold()
    return word in line.event.casefold() or word in line.text.casefold()


def _view(parcel: Parcel, line: LogLine) -> PilotLogLine:
    source = parcel.source
    return PilotLogLine(
        at=shown(line.at),
        pilot=source.pilot,
        site=source.site,
        host=source.host,
        batch_id=source.batch_id,
        event=line.event,
        text=line.text,
        warning=line.warning,
        job=line.job or None,
        epoch=line.epoch or None,
    )


def _check_order(lines: Iterable[PilotLine]) -> None:
    before = 0
    for index, line in enumerate(lines):
        if line.n <= before:
            raise Refused(
                Code.INVALID,
                f"$.lines[{index}].n: found {line.n} after {before}: the numbers must increase",
                field=f"$.lines[{index}].n",
            )
        before = line.n
