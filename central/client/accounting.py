"""Counts over time, accounts, quotas and failures."""

from pilotage.proto.api.accounts import Accounts, AccountsBy, Series, SeriesBy
from pilotage.proto.api.failures import Failures, ReportDetail, ReportPage, ReportView
from pilotage.proto.api.jobs import PAGE_MAX
from pilotage.proto.api.quotas import QuotaChange, UsageView

from .transport import Transport


class AccountingCalls:
    """The methods of the client for what jobs have used, and why they failed."""

    _transport: Transport

    async def series(
        self,
        *,
        step_s: int = 60,
        since: float | None = None,
        by: SeriesBy = SeriesBy.SITE,
        site: str = "",
        type: str = "",
    ) -> Series:
        """Return how many jobs waited, ran and ended, and their usage, in slots of `step_s`.

        `step_s` is 10, 60 or 600. `since` is in seconds since 1970 (default: as early as one answer
        can hold).
        """
        query = [("step", str(step_s)), ("by", SeriesBy(by).value), ("site", site), ("type", type)]
        if since is not None:
            query.append(("since", str(since)))
        return await self._transport.ask(Series, "GET", "/v1/series", query=query)

    async def accounts(
        self,
        *,
        by: AccountsBy = AccountsBy.OWNER,
        since: float | None = None,
        until: float | None = None,
    ) -> Accounts:
        """Return what jobs have used in whole days, since the first day."""
        query = [("by", AccountsBy(by).value)]
        query += [("since", str(since))] if since is not None else []
        query += [("until", str(until))] if until is not None else []
        return await self._transport.ask(Accounts, "GET", "/v1/accounts", query=query)

    async def usage(self) -> UsageView:
        """Return the usage and the limits of the quotas that the token may see."""
        return await self._transport.ask(UsageView, "GET", "/v1/usage")

    async def set_quota(self, change: QuotaChange) -> UsageView:
        """Set or remove the quota of a community, a group or an owner; return the usage."""
        return await self._transport.ask(UsageView, "POST", "/v1/quotas", body=change)

    async def failures(
        self,
        *,
        site: str = "",
        group: str = "",
        owner: str = "",
        transformation: int | None = None,
        since: float | None = None,
    ) -> Failures:
        """Return failed attempts by class and site, since `since` (default: the last day)."""
        query = [("site", site), ("group", group), ("owner", owner)]
        query += [("transformation", str(transformation))] if transformation is not None else []
        query += [("since", str(since))] if since is not None else []
        return await self._transport.ask(Failures, "GET", "/v1/failures", query=query)

    async def failure_reports(
        self, *, transformation: int | None = None, since: float | None = None, most: int = 100
    ) -> list[ReportView]:
        """Return the newest reports of failover, newest first."""
        query = [("transformation", str(transformation))] if transformation is not None else []
        query += [("since", str(since))] if since is not None else []
        found: list[ReportView] = []
        before: int | None = None
        while len(found) < most:
            page = await self._transport.ask(
                ReportPage,
                "GET",
                "/v1/failures/reports",
                query=[
                    *query,
                    ("limit", str(min(PAGE_MAX, most - len(found)))),
                    *([("before", str(before))] if before is not None else []),
                ],
            )
            found += page.reports
            before = page.before
            if before is None:
                break
        return found

    async def failure_report(self, report: int) -> ReportDetail:
        """Return one report of failover, with its text."""
        return await self._transport.ask(ReportDetail, "GET", f"/v1/failures/reports/{report}")
