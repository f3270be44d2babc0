"""Routes of notifications. A caller sees and changes only the own ones."""

from typing import Final

from pilotage.proto.api.notifications import AddressChange, NotificationsView, Subscribe

from ..http.call import Call
from ..http.route import Routes
from ..identity.calls import user
from ..identity.policy import Permission
from .service import NotificationService

ROUTES: Final = Routes[NotificationService]()


@ROUTES.add("GET", "/v1/notifications", Permission.JOB_SUBMIT)
async def view(service: NotificationService, call: Call) -> NotificationsView:
    """Show your addresses, subscriptions and last notifications."""
    return await service.view(user(call))


@ROUTES.add("POST", "/v1/notifications", Permission.JOB_SUBMIT)
async def subscribe(service: NotificationService, call: Call, body: Subscribe) -> NotificationsView:
    """Subscribe to events of a submission or production."""
    return await service.subscribe(user(call), body)


@ROUTES.add("POST", "/v1/notifications/addresses", Permission.JOB_SUBMIT)
async def set_addresses(
    service: NotificationService, call: Call, body: AddressChange
) -> NotificationsView:
    """Set your mail address and webhook."""
    return await service.set_addresses(user(call), body)
