"""Joins the loops of failover and the service for its reports."""

from collections.abc import Callable
from dataclasses import dataclass

from ..identity.scope import Owners
from ..observe.events import Log
from ..ports import Clock
from ..settings import FailoverSettings
from ..store.engine import Store
from .activity import Pulse
from .cycle import Cycle, KillJobs
from .mails import Mailer, Mails
from .recovery import TaskRecovery
from .rule_book import RuleBook
from .service import ReportService
from .task_ends import Stderr


@dataclass(frozen=True)
class Failover:
    """The parts of failover in a central."""

    cycle: Cycle
    recovery: TaskRecovery
    mails: Mails
    service: ReportService


def failover(
    *,
    store: Store,
    rules: RuleBook,
    touch: Callable[[int], None],
    kill: KillJobs,
    owners: Owners,
    mailer: Mailer | None,
    settings: FailoverSettings,
    clock: Clock,
    log: Log,
    pulse: Pulse,
    stderr: Stderr,
) -> Failover:
    """Return the loops, and the service that answers users."""
    log = pulse.counted(log)
    is_mailed = mailer is not None
    return Failover(
        cycle=Cycle(
            store=store,
            rules=rules,
            touch=touch,
            kill=kill,
            clock=clock,
            log=log,
            every_s=settings.cycle_s,
            report_days=settings.report_days,
            mail=is_mailed,
            looked=pulse.looked,
            stderr=stderr,
        ),
        recovery=TaskRecovery(
            store=store,
            rules=rules,
            touch=touch,
            clock=clock,
            log=log,
            every_s=settings.recovery_s,
            mail=is_mailed,
        ),
        mails=Mails(
            store, mailer, every_s=settings.mail.every_s, clock=clock, log=log, told=pulse.mailed
        ),
        service=ReportService(store, owners),
    )
