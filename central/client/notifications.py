"""The methods of `AsyncClient` for notifications by mail and webhook."""

from collections.abc import Iterable

from pilotage.proto.api.notifications import (
    AddressChange,
    NotificationsView,
    NotifyEvent,
    Subscribe,
)

from .arguments import word_of
from .transport import Transport


def events_of(on: "Iterable[NotifyEvent | str] | str") -> tuple[NotifyEvent, ...]:
    """Return events from words, or a text such as `end,fail`. Raises Invalid for others.

    `none` and empty text are no events.
    """
    words = on.split(",") if isinstance(on, str) else on
    named = [one.strip().lower() for one in words]
    found = {word_of(NotifyEvent, one, "notify") for one in named if one not in ("", "none")}
    return tuple(one for one in NotifyEvent if one in found)


class NotificationCalls:
    """The methods of the client for notifications of your own submissions and productions."""

    _transport: Transport

    async def notifications(self) -> NotificationsView:
        """Return your addresses, what you will be told, and the last deliveries."""
        return await self._transport.ask(NotificationsView, "GET", "/v1/notifications")

    async def notify(
        self,
        *,
        submission: int | None = None,
        production: str | int = "",
        on: Iterable[NotifyEvent | str] | str = "end,fail",
    ) -> NotificationsView:
        """Be told of a submission or a production: `end`, `fail`, `half`; `none`: of nothing."""
        body = Subscribe(submission=submission, production=str(production), on=events_of(on))
        return await self._transport.ask(NotificationsView, "POST", "/v1/notifications", body=body)

    async def set_notification_addresses(
        self, *, mail: str | None = None, webhook: str | None = None
    ) -> NotificationsView:
        """Set the addresses of your notifications.

        None leaves an address as it is; an empty text removes it.
        """
        body = AddressChange(mail=mail, webhook=webhook)
        path = "/v1/notifications/addresses"
        return await self._transport.ask(NotificationsView, "POST", path, body=body)
