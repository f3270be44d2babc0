"""Messages about notifications of the end, the failure or the half of submissions."""

import enum
from typing import Annotated

from msgspec import Meta

from ..ids import ID_MAX
from .bodies import ReplyStruct as _Out, RequestStruct as _In

ADDRESS_MAX = 254  # characters of a mail address
URL_MAX = 1_000  # characters of the URL of a webhook


class NotifyEvent(str, enum.Enum):
    """The events that a person can hear of, each once. No event follows the end."""

    END = "end"  # all jobs have ended or are Held; a production has Completed
    FAIL = "fail"  # the first job has failed for good; a production needs its owner
    HALF = "half"  # half of the jobs have ended; half of a production is done


class Subscribe(_In, frozen=True):
    """Subscribe to a submission or a production. This replaces an earlier subscription."""

    submission: Annotated[int, Meta(ge=1, le=ID_MAX)] | None = None
    production: Annotated[str, Meta(max_length=128)] = ""  # id or name
    on: tuple[NotifyEvent, ...] = (NotifyEvent.END, NotifyEvent.FAIL)  # empty: end the subscription

    def __post_init__(self) -> None:
        if (self.submission is None) == (not self.production):
            raise ValueError("submission: give either a submission or a production")


class AddressChange(_In, frozen=True):
    """Set addresses. Missing ones stay; empty text removes one."""

    mail: Annotated[str, Meta(max_length=ADDRESS_MAX)] | None = None
    webhook: Annotated[str, Meta(max_length=URL_MAX)] | None = None

    def __post_init__(self) -> None:
        if self.mail is None and self.webhook is None:
            raise ValueError("mail: give a mail address, a webhook or both")


class SubscriptionView(_Out, frozen=True):
    """What is still to be told."""

    kind: str  # submission or production
    id: int
    on: tuple[NotifyEvent, ...]


class DeliveryView(_Out, frozen=True):
    """A notification, and how its delivery went."""

    at: str
    channel: str  # mail or webhook
    title: str
    status: str  # due, sent, or given up
    tries: int = 0
    why: str = ""  # of the last failed try


class NotificationsView(_Out, frozen=True):
    """The addresses and subscriptions of the caller, and the latest notifications, newest first."""

    mail: str = ""
    webhook: str = ""
    webhook_secret: str = ""  # key of the HMAC in X-Pilotage-Signature
    open: list[SubscriptionView] = []
    recent: list[DeliveryView] = []
