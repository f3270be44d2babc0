"""Shows series over time, and accounts of used resources."""

from typing import Final

import msgspec

from pilotage.proto.api.accounts import (
    AccountLine,
    Accounts,
    AccountsBy,
    Series,
    SeriesBy,
    SeriesLine,
)
from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.callers import Caller, User
from ..identity.policy import Permission, Reach, reach
from ..identity.scope import scope
from ..observe.times import shown
from . import record_series as series_records
from .failures import FailureReads
from .record_series import DAY_S, STEPS, AccountSearch, AccountSums, Point, SeriesSearch

SLOTS_MAX: Final = 2_200  # in one answer: six hours of the finest step, two weeks of the coarsest
SLOTS_A_TURN: Final = 50  # read and processed in one turn of the loop
VALUES_MAX: Final = 44_000  # lines × slots in one answer
LINES_MAX: Final = 10_000
_Columns = list[list[float]]  # waiting, running, and the sums in their order
_STEPS: Final = tuple(step.step_s for step in STEPS)


class SeriesService(FailureReads):
    """Series by site, community and type; accounts by owner, group and day; failures by class."""

    async def series(
        self,
        caller: Caller,
        *,
        step_s: int,
        since: float | None,
        by: SeriesBy,
        site: str,
        type: str,
    ) -> Series:
        """Return series from `since` on. None means as far back as one answer can hold."""
        if step_s not in _STEPS:
            known = ", ".join(map(str, _STEPS))
            message = f"step: found {step_s} s, expected one of {known}"
            raise Refused(Code.INVALID, message, field="step")
        assert isinstance(caller, User)
        now = int(self._clock.wall())
        earliest = now - SLOTS_MAX * step_s
        begin = earliest if since is None else max(earliest, int(since))
        search = SeriesSearch(
            step_s=step_s,
            since=begin,
            until=now + 1,
            by="" if by is SeriesBy.ALL else by.value,
            community=None
            if reach(caller, Permission.SERIES_READ) is Reach.ALL
            else caller.community,
            site=site or None,
            type=type or None,
        )
        slots = await self._store.read(series_records.series_slots, search, limit=SLOTS_MAX)
        lines = await self._lines(search, slots)
        return Series(
            step_s=step_s,
            at=[shown(at) for at in slots],
            lines=[_shown(label, columns) for label, columns in sorted(lines.items())],
        )

    async def _lines(self, search: SeriesSearch, slots: list[int]) -> dict[str, _Columns]:
        """Read some slots at a time, to let other tasks run in between. Missing values are zero."""
        places = {at: place for place, at in enumerate(slots)}
        found: dict[str, _Columns] = {}
        span_s = SLOTS_A_TURN * search.step_s
        for since in range(search.since, search.until, span_s):
            until = min(since + span_s, search.until)
            part = msgspec.structs.replace(search, since=since, until=until)
            for point in await self._store.read(series_records.series, part):
                columns = found.get(point.label)
                if columns is None:
                    if (len(found) + 1) * len(slots) > VALUES_MAX:
                        raise Refused(
                            Code.TOO_LARGE,
                            f"the answer has more than {len(found)} lines of {len(slots)} slots: "
                            "use a later `since`, one `site` or `type`, or another `by`",
                            field="since",
                        )
                    columns = found[point.label] = _columns(len(slots))
                place = places.get(point.at)
                if place is not None:
                    _put(columns, place, point)
        return found

    async def accounts(
        self, caller: Caller, *, by: AccountsBy, since: float | None, until: float | None
    ) -> Accounts:
        """Return the resources that jobs in the caller's scope have used, in whole days."""
        bounds = scope(caller, Permission.JOB_READ, self._owners)
        now = self._clock.wall()
        rows = await self._store.read(
            series_records.accounts,
            AccountSearch(
                since=int(since or 0) // DAY_S,
                until=int(now if until is None else until) // DAY_S + 1,
                by="" if by is AccountsBy.ALL else by.value,
                community=bounds.community or None,
                owner_id=bounds.owner_id,
                groups=None if bounds.groups is None else tuple(sorted(bounds.groups)),
            ),
            limit=LINES_MAX,
        )
        if by is AccountsBy.OWNER:
            await self._owners.meet(int(row.label) for row in rows)
        named = (
            (self._owners.by_id(int(row.label)) if by is AccountsBy.OWNER else row.label, row.sums)
            for row in rows
        )
        return Accounts(
            by=by,
            lines=[
                AccountLine(key=label, **msgspec.structs.asdict(sums))
                for label, sums in sorted(named, key=lambda line: line[0])
            ],
        )


def _columns(length: int) -> _Columns:
    return [[0] * length for _ in range(2 + len(AccountSums.__struct_fields__))]


def _put(columns: _Columns, place: int, point: Point) -> None:
    values = (
        round(point.waiting, 3),
        round(point.running, 3),
        *msgspec.structs.astuple(point.sums),
    )
    for column, value in zip(columns, values, strict=True):
        column[place] = value


def _shown(label: str, columns: _Columns) -> SeriesLine:
    names = ("waiting", "running", *AccountSums.__struct_fields__)
    return SeriesLine(key=label, **dict(zip(names, columns, strict=True)))  # type: ignore[arg-type]
