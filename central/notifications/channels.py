"""The two ways to send a message: by mail, and by webhook."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from ..errors import Refused
from ..failover.mails import Mailer, NotMailed
from ..settings import NotifySettings
from ..store.engine import Store
from . import messages, record as records
from .addresses import WebhookUrl, check_mail, parse_webhook
from .delivery import NoAddress, NotSent
from .messages import Notification

SIGNATURE: Final = "X-Pilotage-Signature"
DELIVERY: Final = "X-Pilotage-Delivery"
GONE: Final = "the address was removed"


class Poster(Protocol):
    """Posts to a URL that a user has given."""

    async def post(self, url: WebhookUrl, body: bytes, headers: Mapping[str, str]) -> None:
        """Return when the receiver has answered with 2xx, or raise NotSent, within 30 s.

        It connects only to addresses that are allowed, follows no redirect, and reads no more of
        the answer than its head. Its errors say nothing about networks that are not public.
        """
        ...


class MailChannel:
    """Sends mail to the address of a person."""

    at_once = 1  # the mailer has one thread

    def __init__(
        self, store: Store, mailer: Mailer, settings: NotifySettings, url: Callable[[], str]
    ) -> None:
        self._store, self._mailer, self._settings, self._url = store, mailer, settings, url

    async def send(self, owner_id: int, told: list[Notification], message_id: int) -> None:
        """Mail the message, if its address may still be used. Raises NotSent, NoAddress."""
        where = await self._store.read(records.addresses, owner_id)
        if not where.mail:
            raise NoAddress(GONE)
        try:
            check_mail(where.mail, verified=where.verified, domains=self._settings.mail_domains)
        except Refused as why:
            raise NoAddress(why.message) from None
        try:
            await self._mailer.send(
                subject=messages.subject(told),
                text=messages.text(told, self._url()),
                key=f"notification-{message_id}",
                to=(where.mail,),
            )
        except NotMailed as why:
            raise NotSent(messages.line(str(why))) from None


class WebhookChannel:
    """Posts JSON to the URL of a person, with a signature."""

    at_once = 8

    def __init__(
        self,
        store: Store,
        poster: Poster,
        settings: NotifySettings,
        url: Callable[[], str],
        secret_of: Callable[[int, str], str],
    ) -> None:
        """`secret_of` returns the key of the signature for an owner and a URL."""
        self._store, self._poster, self._settings = store, poster, settings
        self._url, self._secret_of = url, secret_of

    async def send(self, owner_id: int, told: list[Notification], message_id: int) -> None:
        """Post the message, if its URL may still be used. Raises NotSent, NoAddress."""
        where = await self._store.read(records.addresses, owner_id)
        if not where.webhook:
            raise NoAddress(GONE)
        try:
            url = parse_webhook(where.webhook, self._settings)
        except Refused as why:
            raise NoAddress(why.message) from None
        delivery = f"{self._store.generation}-{message_id}"
        body = messages.as_json(told, self._url(), delivery)
        headers = {
            DELIVERY: delivery,
            SIGNATURE: signature(self._secret_of(owner_id, where.webhook), body),
        }
        await self._poster.post(url, body, headers)


def signature(secret: str, body: bytes) -> str:
    """Return the value of X-Pilotage-Signature."""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
