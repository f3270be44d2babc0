"""Takes subscriptions and addresses from people, and shows them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from pilotage.proto.api.notifications import (
    AddressChange,
    DeliveryView,
    NotificationsView,
    NotifyEvent,
    Subscribe,
    SubscriptionView,
)
from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.callers import User
from ..identity.record_types import Owner
from ..identity.scope import Owners
from ..jobs.definition.checks import community_of
from ..observe.times import shown
from ..settings import NotifySettings
from ..store.engine import Store
from . import record as records
from .addresses import check_mail, parse_webhook
from .record import MAIL, PRODUCTION, SUBMISSION, WEBHOOK, OutboxRow, Subscription

SUBSCRIPTIONS_MAX: Final = 1_000  # of one person
SHOWN_MAX: Final = 20  # the last deliveries

ProductionId = Callable[[User, str], Awaitable[int]]  # raises Refused if the caller may not read it
SET_IT: Final = "`pilotage notify --mail ADDRESS` or `--webhook URL`"


class NotificationService:
    """Answers requests about the notifications of the caller."""

    def __init__(
        self,
        store: Store,
        owners: Owners,
        settings: NotifySettings,
        channels: Sequence[str],
        *,
        production_id: ProductionId,
        secret_of: Callable[[int, str], str],
    ) -> None:
        """`channels` are the ways in which this central can send."""
        self._store, self._owners, self._settings = store, owners, settings
        self._channels = channels
        self._production_id, self._secret_of = production_id, secret_of

    async def view(self, caller: User, /) -> NotificationsView:
        """Return the caller's addresses, subscriptions and last deliveries."""
        owner = await self._owner(caller)
        where = await self._store.read(records.addresses, owner.owner_id)
        subscriptions = await self._store.read(
            records.subscriptions_of, owner.owner_id, limit=SUBSCRIPTIONS_MAX
        )
        rows = await self._store.read(records.recent, owner.owner_id, limit=SHOWN_MAX)
        return NotificationsView(
            mail=where.mail if MAIL in self._channels else "",
            webhook=where.webhook,
            webhook_secret=self._secret_of(owner.owner_id, where.webhook) if where.webhook else "",
            open=[
                SubscriptionView(
                    kind=one.kind,
                    id=one.subject_id,
                    on=tuple(event for event in NotifyEvent if event in one.events),
                )
                for one in subscriptions
            ],
            recent=[_delivery(row) for row in rows],
        )

    async def subscribe(self, caller: User, body: Subscribe, /) -> NotificationsView:
        """Store a subscription. Raises Refused: NOT_FOUND, ILLEGAL_STATE, TOO_MANY."""
        owner = await self._owner(caller)
        if body.production:
            kind, subject = PRODUCTION, await self._production_id(caller, body.production)
        else:
            kind, subject = SUBMISSION, await self._own_submission(owner, body.submission or 0)
        if body.on:
            await check_reachable(self._store, self._channels, owner.owner_id)
        one = Subscription(
            kind=kind, subject_id=subject, owner_id=owner.owner_id, events=frozenset(body.on)
        )
        await self._store.write(records.subscribe, one)
        return await self.view(caller)

    async def set_addresses(self, caller: User, change: AddressChange, /) -> NotificationsView:
        """Change the addresses of the caller. Raises Refused: INVALID, FORBIDDEN, UNAVAILABLE."""
        owner = await self._owner(caller)
        where = await self._store.read(records.addresses, owner.owner_id)
        mail = where.mail if change.mail is None else change.mail
        webhook = where.webhook if change.webhook is None else change.webhook
        if change.mail:
            if MAIL not in self._channels:
                raise Refused(
                    Code.ILLEGAL_STATE,
                    "this central has no mail server (setting failover.mail.host): use a webhook",
                    field="mail",
                )
            check_mail(mail, verified=where.verified, domains=self._settings.mail_domains)
        if change.webhook:
            parse_webhook(webhook, self._settings)
        await self._store.write(records.set_addresses, owner.owner_id, mail, webhook)
        return await self.view(caller)

    async def _owner(self, caller: User) -> Owner:
        return await self._owners.get(community_of(caller), caller)

    async def _own_submission(self, owner: Owner, submission: int) -> int:
        found = await self._store.read(records.owner_of_submission, submission)
        if found != owner.owner_id:
            raise Refused(
                Code.NOT_FOUND, f"you have no submission {submission}", field="submission"
            )
        return submission


async def check_reachable(store: Store, channels: Sequence[str], owner_id: int) -> None:
    """Raise Refused unless a person can be told of one thing more."""
    where = await store.read(records.addresses, owner_id)
    if not (where.mail and MAIL in channels or where.webhook and WEBHOOK in channels):
        what = f"you have no address for notifications: {SET_IT}"
        raise Refused(Code.ILLEGAL_STATE, what, field="notify")
    if await store.read(records.count_subscriptions, owner_id) >= SUBSCRIPTIONS_MAX:
        what = f"you have {SUBSCRIPTIONS_MAX} subscriptions, the maximum: wait for some to end"
        raise Refused(Code.TOO_MANY, what, field="notify")


def _delivery(row: OutboxRow) -> DeliveryView:
    if row.sent_at is not None:
        status = "sent"
    else:
        status = "due" if row.due is not None else "given up"
    return DeliveryView(
        at=shown(row.at),
        channel=row.channel,
        title=row.body.title,
        status=status,
        tries=row.tries,
        why=row.why,
    )
