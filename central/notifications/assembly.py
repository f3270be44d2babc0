"""Joins the loops of notifications and the service for people."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..failover.mails import Mailer
from ..identity.scope import Owners
from ..observe.events import Log
from ..ports import Clock
from ..settings import NotifySettings
from ..store.engine import Store
from .channels import MailChannel, Poster, WebhookChannel
from .delivery import Channel, Delivery
from .record import MAIL, WEBHOOK
from .service import NotificationService, ProductionId
from .watch import NotificationWatch


@dataclass(frozen=True)
class Senders:
    """The drivers that send; None: this central sends nothing in this way."""

    mailer: Mailer | None = None
    poster: Poster | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """The ways in which messages can be sent."""
        by_mail = (MAIL,) if self.mailer is not None else ()
        return (*by_mail, WEBHOOK) if self.poster is not None else by_mail


@dataclass(frozen=True)
class Notifications:
    """The parts of notifications in a central."""

    service: NotificationService
    watch: NotificationWatch
    deliveries: Sequence[Delivery] = field(default=())

    async def run(self) -> None:
        """Run all loops until cancelled; return at once if nothing can be sent."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.watch.run())
            for one in self.deliveries:
                tasks.create_task(one.run())


def notifications(
    *,
    store: Store,
    owners: Owners,
    senders: Senders,
    settings: NotifySettings,
    url: Callable[[], str],
    secret_of: Callable[[int, str], str],
    production_id: ProductionId,
    clock: Clock,
    log: Log,
) -> Notifications:
    """Return the service and the loops. `url` returns the address of the central for people."""
    ways: dict[str, Channel] = {}
    if senders.mailer is not None:
        ways[MAIL] = MailChannel(store, senders.mailer, settings, url)
    if senders.poster is not None:
        ways[WEBHOOK] = WebhookChannel(store, senders.poster, settings, url, secret_of)
    channels = senders.channels
    return Notifications(
        service=NotificationService(
            store,
            owners,
            settings,
            channels,
            production_id=production_id,
            secret_of=secret_of,
        ),
        watch=NotificationWatch(
            store, owners, channels, every_s=settings.every_s, clock=clock, log=log
        ),
        deliveries=[
            Delivery(store, name, channel, owners=owners, settings=settings, clock=clock, log=log)
            for name, channel in ways.items()
        ],
    )
