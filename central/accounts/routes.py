"""Routes of series over time, accounts, failures and quotas."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pilotage.proto.api.accounts import Accounts, AccountsBy, Series, SeriesBy
from pilotage.proto.api.failures import Failures
from pilotage.proto.api.quotas import QuotaChange, UsageView
from pilotage.proto.ids import ID_MAX

from ..http.call import Call
from ..http.route import Routes
from ..identity.calls import user
from ..identity.policy import Permission
from ..observe.times import Moment
from .quotas import Quotas
from .series import SeriesService

SERIES_ROUTES: Final = Routes[SeriesService]()
QUOTA_ROUTES: Final = Routes[Quotas]()


class SeriesQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selects series. Steps: 10 s for six hours, 60 s for a week, 600 s for 400 days."""

    step: int = 60
    since: Moment | None = None  # seconds since 1970; default: as far back as one answer can hold
    by: SeriesBy = SeriesBy.SITE
    site: Annotated[str, Meta(max_length=64)] = ""
    type: Annotated[str, Meta(max_length=64)] = ""


class AccountsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selects accounts, in whole days (UTC)."""

    by: AccountsBy = AccountsBy.OWNER
    since: Moment | None = None  # seconds since 1970; default: the first day
    until: Moment | None = None


class FailuresQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selects failures, in whole hours."""

    site: Annotated[str, Meta(max_length=64)] = ""
    group: Annotated[str, Meta(max_length=64)] = ""
    owner: Annotated[str, Meta(max_length=256)] = ""
    transformation: Annotated[int, Meta(ge=0, le=ID_MAX)] | None = None  # 0: jobs without one
    since: Moment | None = None  # seconds since 1970; default: one day ago


@SERIES_ROUTES.add("GET", "/v1/series", Permission.SERIES_READ, needs_leader=False)
async def series(counted: SeriesService, call: Call, query: SeriesQuery) -> Series:
    """Show numbers of waiting, running and ended jobs and their usage over time."""
    return await counted.series(
        user(call),
        step_s=query.step,
        since=query.since,
        by=query.by,
        site=query.site,
        type=query.type,
    )


@SERIES_ROUTES.add("GET", "/v1/accounts", Permission.JOB_READ, needs_leader=False)
async def accounts(counted: SeriesService, call: Call, query: AccountsQuery) -> Accounts:
    """Show what jobs have used, by owner, group, day and more."""
    return await counted.accounts(user(call), by=query.by, since=query.since, until=query.until)


@SERIES_ROUTES.add("GET", "/v1/failures", Permission.JOB_READ, needs_leader=False)
async def failures(counted: SeriesService, call: Call, query: FailuresQuery) -> Failures:
    """Show why attempts failed, by class and site, with examples."""
    return await counted.failures(
        user(call),
        site=query.site,
        group=query.group,
        owner=query.owner,
        transformation=query.transformation,
        since=query.since,
    )


@QUOTA_ROUTES.add("GET", "/v1/usage", Permission.USAGE_READ, needs_leader=False)
async def usage(quotas: Quotas, call: Call) -> UsageView:
    """Show use and limits of quotas."""
    return await quotas.usage(user(call))


@QUOTA_ROUTES.add("POST", "/v1/quotas", Permission.QUOTA_CONTROL)
async def set_quota(quotas: Quotas, call: Call, body: QuotaChange) -> UsageView:
    """Set or remove the quota of a community, a group or an owner."""
    return await quotas.change(user(call), body)
