"""Shows reports of failover to the users who may read the transformations."""

import msgspec

from pilotage.proto.api.failures import ReportDetail, ReportPage, ReportView
from pilotage.proto.ids import ID_MAX
from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.callers import User
from ..identity.policy import Permission
from ..identity.scope import Owners, scope
from ..observe.times import shown
from ..store.engine import Store
from . import record as failover_records
from .record import ReportRow, ReportSearch
from .report import FailoverReport, as_text


class ReportService:
    """Answers requests for reports."""

    def __init__(self, store: Store, owners: Owners) -> None:
        self._store, self._owners = store, owners

    async def reports(
        self,
        caller: User,
        /,
        *,
        transformation: int | None,
        since: float | None,
        before: int | None,
        limit: int,
    ) -> ReportPage:
        """Return one page of reports, newest first."""
        rows = await self._store.read(
            failover_records.reports,
            self._search(caller, transformation, since or 0.0, before, limit),
        )
        more = len(rows) == limit
        return ReportPage(
            reports=[_view(row) for row in rows], before=rows[-1].report_id if more else None
        )

    async def report(self, caller: User, report: int, /) -> ReportDetail:
        """Return one report. Raises Refused, NOT_FOUND, also if the caller may not read it."""
        known = (
            await self._store.read(failover_records.report, report) if report <= ID_MAX else None
        )
        search = self._search(caller, None, 0.0, report + 1, 1)
        seen = await self._store.read(failover_records.reports, search) if known is not None else []
        if known is None or not seen or seen[0].report_id != report:
            raise Refused(Code.NOT_FOUND, f"there is no report {report}", field="report")
        return ReportDetail(
            view=_view(known),
            text=as_text(msgspec.json.decode(known.body, type=FailoverReport)),
            report=msgspec.json.decode(known.body),
        )

    def _search(
        self,
        caller: User,
        transformation: int | None,
        since: float,
        before: int | None,
        limit: int,
    ) -> ReportSearch:
        bounds = scope(caller, Permission.TRANSFORMATION_READ, self._owners)
        return ReportSearch(
            community=bounds.community or None,
            owner_id=bounds.owner_id,
            groups=None if bounds.groups is None else tuple(sorted(bounds.groups)),
            transformation_id=transformation,
            since=since,
            before=before,
            limit=limit,
        )


def _view(row: ReportRow) -> ReportView:
    mail = ""
    if row.mailed_at is not None:
        mail = shown(row.mailed_at)
    elif row.mail_why:
        mail = f"not yet, {row.mail_tries} tries: {row.mail_why}"
    elif row.mail_due is not None:
        mail = "due"
    return ReportView(
        id=row.report_id,
        at=shown(row.at),
        transformation=row.transformation_id,
        name=row.name,
        cycle=row.cycle,
        cause=row.cause,
        title=row.title,
        saved=row.saved,
        stuck=row.for_people,
        mail=mail,
    )
