"""Routes for what was counted: series over time, accounts, failures."""

from typing import Annotated

import msgspec
from litestar.types import ASGIApp
from msgspec import Meta

from pilotage.proto.api import PAGE_MAX, AccountsBy, SeriesBy
from pilotage.proto.api_quotas import QuotaChange
from pilotage.proto.ids import ID_MAX
from pilotage.proto.problems import Code

from ..errors import Refused
from .answers import encoded
from .call import Call

_Seconds = Annotated[float, Meta(ge=0, le=2**40)]


class SeriesQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which series: 10 s for six hours, 60 s for a week, 600 s for 400 days."""

    step: int = 60
    since: _Seconds | None = None  # seconds since 1970; else as far back as one answer holds
    by: SeriesBy = SeriesBy.SITE
    site: Annotated[str, Meta(max_length=64)] = ""
    type: Annotated[str, Meta(max_length=64)] = ""


class AccountsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which accounts; whole days, UTC."""

    by: AccountsBy = AccountsBy.OWNER
    since: _Seconds | None = None  # seconds since 1970; else from the first day on
    until: _Seconds | None = None


class FailuresQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which failures; whole hours."""

    site: Annotated[str, Meta(max_length=64)] = ""
    group: Annotated[str, Meta(max_length=64)] = ""
    owner: Annotated[str, Meta(max_length=256)] = ""
    transformation: Annotated[int, Meta(ge=0, le=ID_MAX)] | None = None  # 0: of none
    since: _Seconds | None = None  # seconds since 1970; else of the last day


class ReportsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which reports of failover, and which page of them."""

    transformation: Annotated[int, Meta(ge=1, le=ID_MAX)] | None = None
    since: _Seconds | None = None  # seconds since 1970
    before: Annotated[int, Meta(ge=0, le=ID_MAX)] | None = None  # an id
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 100


async def series(call: Call) -> ASGIApp:
    asked = call.query(SeriesQuery)
    return encoded(
        await call.services.series.series(
            call.user(),
            step_s=asked.step,
            since=asked.since,
            by=asked.by,
            site=asked.site,
            type=asked.type,
        )
    )


async def accounts(call: Call) -> ASGIApp:
    asked = call.query(AccountsQuery)
    return encoded(
        await call.services.series.accounts(
            call.user(), by=asked.by, since=asked.since, until=asked.until
        )
    )


async def usage(call: Call) -> ASGIApp:
    return encoded(await call.services.quotas.usage(call.user()))


async def set_quota(call: Call) -> ASGIApp:
    asked = await call.read(QuotaChange)
    return encoded(await call.services.quotas.change(call.user(), asked))


async def failures(call: Call) -> ASGIApp:
    asked = call.query(FailuresQuery)
    return encoded(
        await call.services.series.failures(
            call.user(),
            site=asked.site,
            group=asked.group,
            owner=asked.owner,
            transformation=asked.transformation,
            since=asked.since,
        )
    )


async def reports(call: Call) -> ASGIApp:
    asked = call.query(ReportsQuery)
    return encoded(
        await call.services.reports.reports(
            call.user(),
            transformation=asked.transformation,
            since=asked.since,
            before=asked.before,
            limit=asked.limit,
        )
    )


async def report(call: Call) -> ASGIApp:
    return encoded(await call.services.reports.report(call.user(), _report_id(call)))


def _report_id(call: Call) -> int:
    text = call.path("report")
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise Refused(Code.NOT_FOUND, f"there is no report {text[:40]!r}", field="report")
    return int(text)
