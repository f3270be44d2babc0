"""Routes for the reports of failover."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pilotage.proto.api.failures import ReportDetail, ReportPage
from pilotage.proto.api.jobs import PAGE_MAX
from pilotage.proto.ids import ID_MAX
from pilotage.proto.problems import Code

from ..errors import Refused
from ..http.call import Call
from ..http.route import Routes
from ..identity.calls import user
from ..identity.policy import Permission
from ..observe.times import Moment
from .service import ReportService

ROUTES: Final = Routes[ReportService]()


class ReportsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The filter for reports, and the page."""

    transformation: Annotated[int, Meta(ge=1, le=ID_MAX)] | None = None
    since: Moment | None = None  # seconds since 1970
    before: Annotated[int, Meta(ge=0, le=ID_MAX)] | None = None  # an id
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 100


@ROUTES.add("GET", "/v1/failures/reports", Permission.TRANSFORMATION_READ)
async def several(reports: ReportService, call: Call, query: ReportsQuery) -> ReportPage:
    """List reports of failover, newest first."""
    return await reports.reports(
        user(call),
        transformation=query.transformation,
        since=query.since,
        before=query.before,
        limit=query.limit,
    )


@ROUTES.add("GET", "/v1/failures/reports/{report}", Permission.TRANSFORMATION_READ)
async def one(reports: ReportService, call: Call) -> ReportDetail:
    """Show one report, also as text."""
    text = call.path("report")
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise Refused(Code.NOT_FOUND, f"there is no report {text[:40]!r}", field="report")
    return await reports.report(user(call), int(text))
