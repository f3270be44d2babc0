"""Stand for the services of accounts, reports and health: they note what they are asked."""

from collections.abc import Mapping

from pilotage.central.accounts.quotas import Quotas
from pilotage.central.accounts.series import SeriesService
from pilotage.central.app.routes import HealthReader, Metrics
from pilotage.central.failover.service import ReportService
from pilotage.central.identity.callers import Caller, User
from pilotage.central.notifications.service import NotificationService
from pilotage.proto.api.accounts import Accounts, AccountsBy, Series, SeriesBy
from pilotage.proto.api.failures import Failures, ReportDetail, ReportPage, ReportView
from pilotage.proto.api.health import Health, Readiness
from pilotage.proto.api.notifications import AddressChange, NotificationsView, Subscribe
from pilotage.proto.api.quotas import QuotaChange, UsageView

from .stub_calls import Hearing, override


class StubSeries(Hearing, SeriesService):
    """Has counted nothing."""

    @override
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
        self.hear("series", caller, (step_s, since, by, site, type))
        return Series(step_s=step_s, at=[], lines=[])

    @override
    async def accounts(
        self, caller: Caller, *, by: AccountsBy, since: float | None, until: float | None
    ) -> Accounts:
        self.hear("accounts", caller, (by, since, until))
        return Accounts(by=by, lines=[])

    @override
    async def failures(
        self,
        caller: Caller,
        *,
        site: str,
        group: str,
        owner: str,
        transformation: int | None,
        since: float | None,
    ) -> Failures:
        self.hear("failures", caller, (site, group, owner, transformation, since))
        return Failures(since="1970-01-01T00:00:00Z", lines=[])


class StubQuotas(Hearing, Quotas):
    """Has no quotas."""

    @override
    async def usage(self, caller: User) -> UsageView:
        self.hear("usage", caller, None)
        return UsageView(rows=[])

    @override
    async def change(self, caller: User, asked: QuotaChange) -> UsageView:
        self.hear("change", caller, asked)
        return UsageView(rows=[])


class StubReports(Hearing, ReportService):
    """Has one report."""

    @override
    async def reports(
        self,
        caller: User,
        *,
        transformation: int | None,
        since: float | None,
        before: int | None,
        limit: int,
    ) -> ReportPage:
        self.hear("reports", caller, (transformation, since, before, limit))
        return ReportPage(reports=[])

    @override
    async def report(self, caller: User, report: int) -> ReportDetail:
        self.hear("report", caller, report)
        view = ReportView(
            id=report, at="1970-01-01T00:00:00Z", transformation=5, name="t", cycle=1,
            cause="payload", title="t: 1 failure", saved=1, stuck=0,
        )  # fmt: skip
        return ReportDetail(view=view, text="", report={})


class StubNotifications(Hearing, NotificationService):
    """Has told nothing."""

    @override
    async def view(self, caller: User) -> NotificationsView:
        self.hear("view", caller, None)
        return NotificationsView()

    @override
    async def subscribe(self, caller: User, body: Subscribe) -> NotificationsView:
        self.hear("subscribe", caller, body)
        return NotificationsView()

    @override
    async def set_addresses(self, caller: User, change: AddressChange) -> NotificationsView:
        self.hear("set_addresses", caller, change)
        return NotificationsView()


class StubHealth(Hearing, HealthReader):
    """Is well, and ready if the test says so."""

    @override
    def health(self) -> Health:
        return Health(
            status="ok",
            version="0",
            gen="g",
            jobs_waiting=0,
            attempts=0,
            pilots=0,
            bus="down",
            uptime_s=1.0,
        )

    @override
    def ready(self) -> Readiness:
        return Readiness(
            ready=self.calls.is_ready, loaded=self.calls.is_ready, store="ok", bus="up"
        )


class StubMetrics(Hearing, Metrics):
    """Counts the requests alone."""

    @override
    async def page(self, requests: Mapping[tuple[str, int], int]) -> str:
        return f"requests {sum(requests.values())}\n"
