"""Stores addresses, subscriptions, and the outbox of notifications."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from pilotage.proto.api.notifications import NotifyEvent
from pilotage.proto.job_states import ACTIVE, JobState

from ..jobs.record_search import ZONE_BITS
from ..store.engine import takes_long, weighs
from ..store.records import Record
from ..store.session import Session, json_list
from .messages import Notification

SUBMISSION, PRODUCTION = "submission", "production"
MAIL, WEBHOOK = "mail", "webhook"
PENDING_MAX: Final = 500  # notifications of one person that wait, by mail and by webhook
DROPPED_MAX: Final = 1_000  # old notifications that one call deletes
_ZONE: Final = 1 << ZONE_BITS
_STATES: Final = json_list([state.value for state in JobState if state not in ACTIVE])
_ranges: Final = msgspec.json.Decoder(list[tuple[int, int]]).decode
_body: Final = msgspec.json.Decoder(Notification).decode


class Addresses(Record, frozen=True, kw_only=True):
    """The addresses of a person, and the mail address that the identity provider has verified."""

    mail: str = ""
    webhook: str = ""
    verified: str = ""


class Subscription(Record, frozen=True, kw_only=True):
    """What an owner wants to be told of a submission or a production."""

    kind: str
    subject_id: int
    owner_id: int
    events: frozenset[NotifyEvent]


class FollowedSubmission(Record, frozen=True, kw_only=True):
    """A submission with its jobs by the state in their row: that of a running job is Waiting."""

    community: str
    name: str
    at: float
    complete: bool
    total: int
    counts: dict[str, int]


class OutboxRow(Record, frozen=True, kw_only=True):
    """A notification in the outbox."""

    notification_id: int
    owner_id: int
    channel: str
    at: float
    body: Notification
    message_id: int | None
    tries: int
    due: float | None
    sent_at: float | None
    why: str


# -- addresses and subscriptions ------------------------------------------------------------------


def addresses(session: Session, owner_id: int) -> Addresses:
    """Return the addresses of a person. The default is the verified mail address."""
    given = {"owner_id": owner_id}
    found = session.one("verified_mail", given)
    verified = found[0] if found else ""
    row = session.one("notify_address", given)
    mail, webhook = (verified, "") if row is None else row
    return Addresses(mail=mail, webhook=webhook, verified=verified)


def set_addresses(session: Session, owner_id: int, mail: str, webhook: str) -> None:
    """Store the addresses of a person. An empty one gets no messages."""
    given = {"owner_id": owner_id, "mail": mail, "webhook": webhook}
    session.run("keep_notify_address", given)


def subscribe(session: Session, one: Subscription) -> None:
    """Store a subscription in place of an earlier one. Without events, only drop that."""
    key = _key(one)
    if one.events:
        session.run("keep_subscription", {**key, "events": words(one.events)})
    else:
        session.run("drop_subscription", {**key, "events": None})


def count_subscriptions(session: Session, owner_id: int) -> int:
    """Return how many subscriptions an owner has."""
    found: int = session.one("count_subscriptions", {"owner_id": owner_id})[0]
    return found


def subscriptions_of(session: Session, owner_id: int, *, limit: int) -> list[Subscription]:
    """Return subscriptions of an owner."""
    rows = session.rows("subscriptions_of", {"owner_id": owner_id, "limit": limit})
    return [_subscription(row) for row in rows]


def subscriptions_after(
    session: Session, after: Subscription | None, *, limit: int
) -> list[Subscription]:
    """Return the next subscriptions of all owners, in order of their key."""
    first = {"kind": "", "subject_id": 0, "owner_id": 0}
    given = first if after is None else _key(after)
    return [
        _subscription(row) for row in session.rows("subscriptions_after", {**given, "limit": limit})
    ]


def owner_of_submission(session: Session, submission_id: int) -> int | None:
    """Return the owner of a complete submission, or None."""
    found = session.one("owner_of_submission", {"submission_id": submission_id})
    return None if found is None else found[0]


@takes_long
def submission(session: Session, submission_id: int) -> FollowedSubmission | None:
    """Return a submission with the numbers of its jobs, or None.

    It reads the counts of whole zones, and at most two zones of rows for each range of ids.
    """
    found = session.one("followed_submission", {"submission_id": submission_id})
    if found is None:
        return None
    community, owner_id, name, at, complete, text = found
    ranges = _ranges(text)
    counts: dict[str, int] = {}
    for first, count in ranges if complete else ():
        for state, jobs in _states_between(session, owner_id, first, first + count - 1):
            counts[state] = counts.get(state, 0) + jobs
    return FollowedSubmission(
        community=community,
        name=name,
        at=at,
        complete=bool(complete),
        total=sum(count for _, count in ranges),
        counts=counts,
    )


def _states_between(
    session: Session, owner_id: int, first: int, last: int
) -> Iterable[tuple[str, int]]:
    """Return numbers of jobs by state. All jobs with these ids are the owner's."""
    begin, end = -(-first // _ZONE), (last + 1) // _ZONE  # the whole zones, without the end
    if begin >= end:
        return session.rows("states_of_span", {"first": first, "last": last})
    zones = {"owner_id": owner_id, "states": _STATES, "from": begin, "to": end - 1}
    spans = ((first, begin * _ZONE - 1), (end * _ZONE, last))
    found: list[tuple[str, int]] = session.rows("states_of_zones", zones)
    for low, high in spans:
        if low <= high:
            found = [*found, *session.rows("states_of_span", {"first": low, "last": high})]
    return found


# -- the outbox -----------------------------------------------------------------------------------


@weighs(8)
def notify(
    session: Session,
    one: Subscription,
    left: frozenset[NotifyEvent],
    told: Sequence[Notification],
    *,
    channels: Sequence[str],
) -> int:
    """Shrink a subscription to the events that are left, and put notifications into the outbox.

    Both happen or none. A subscription that has changed meanwhile stays as it is. Return how many
    notifications were dropped, because too many of this person wait.
    """
    key = {**_key(one), "events": words(one.events)}
    if left:
        changed = session.run("shrink_subscription", {**key, "left": words(left)}).rowcount
    else:
        changed = session.run("drop_subscription", key).rowcount
    if not changed or not told:
        return 0
    where = addresses(session, one.owner_id)
    dropped = 0
    for channel in channels:
        if not (where.mail if channel == MAIL else where.webhook):
            continue
        given = {"owner_id": one.owner_id, "channel": channel}
        room = PENDING_MAX - session.one("count_pending", given)[0]
        dropped += max(0, len(told) - max(0, room))
        for what in told[: max(0, room)]:
            number = session.reserve("notification")
            body = msgspec.json.encode(what)
            session.run(
                "put_notification",
                {**given, "notification_id": number, "at": what.at, "body": body},
            )
    return dropped


def owners_due(session: Session, channel: str, now: float, *, limit: int) -> list[int]:
    """Return the owners with notifications to send, the longest waiting first."""
    given = {"channel": channel, "now": now, "limit": limit}
    return [row[0] for row in session.rows("owners_due", given)]


def open_message(session: Session, owner_id: int, channel: str) -> OutboxRow | None:
    """Return the first notification of a message that was begun and is not sent yet, or None."""
    found = session.one("open_message", {"owner_id": owner_id, "channel": channel})
    return None if found is None else _outbox_row(found)


def pending(session: Session, owner_id: int, channel: str, *, limit: int) -> list[OutboxRow]:
    """Return notifications that are in no message yet, oldest first."""
    given = {"owner_id": owner_id, "channel": channel, "limit": limit}
    return [_outbox_row(row) for row in session.rows("pending_notifications", given)]


def notifications_of(session: Session, message_id: int) -> list[Notification]:
    """Return the notifications of a message."""
    rows = session.rows("notifications_of_message", {"message_id": message_id})
    return [_outbox_row(row).body for row in rows]


def sent_times(session: Session, owner_id: int, channel: str, since: float) -> list[float]:
    """Return when messages were sent to an owner, in order."""
    given = {"owner_id": owner_id, "channel": channel, "since": since}
    return [row[0] for row in session.rows("sent_times", given)]


@weighs(10)
def begin_message(session: Session, ids: Sequence[int]) -> None:
    """Put notifications into one message for good: each try to send it has the same content."""
    session.run("begin_message", {"message_id": ids[0], "ids": json_list(ids)})


def put_off(session: Session, owner_id: int, channel: str, due: float) -> None:
    """Let the notifications of an owner wait until this time."""
    session.run("put_off", {"owner_id": owner_id, "channel": channel, "due": due})


@weighs(10)
def message_sent(session: Session, message_id: int, at: float) -> None:
    """Note that a message was delivered."""
    session.run("message_sent", {"message_id": message_id, "at": at})


def message_failed(session: Session, row: OutboxRow, *, why: str, due: float | None) -> None:
    """Note a failed try. `due`: when to try again, None: never. Others wait at least as long."""
    given = {"message_id": row.notification_id, "why": why, "due": due}
    session.run("message_failed", given)
    if due is not None:
        put_off(session, row.owner_id, row.channel, due)


@weighs(10)
def drop_pending(session: Session, owner_id: int, channel: str, why: str) -> None:
    """Give up all notifications of an owner that wait."""
    session.run("drop_pending", {"owner_id": owner_id, "channel": channel, "why": why})


def recent(session: Session, owner_id: int, *, limit: int) -> list[OutboxRow]:
    """Return the last notifications of an owner, newest first, with the tries of their message."""
    rows = session.rows("recent_notifications", {"owner_id": owner_id, "limit": limit})
    return [_outbox_row(row) for row in rows]


@weighs(DROPPED_MAX)
def drop_old(session: Session, before: float) -> int:
    """Delete old notifications that do not wait, at most DROPPED_MAX; return their number."""
    return session.run("drop_notifications", {"before": before, "limit": DROPPED_MAX}).rowcount


# -- rows -----------------------------------------------------------------------------------------


def words(events: Iterable[NotifyEvent]) -> str:
    """Return events as the store has them."""
    return ",".join(sorted(one.value for one in events))


def _key(one: Subscription) -> Mapping[str, object]:
    return {"kind": one.kind, "subject_id": one.subject_id, "owner_id": one.owner_id}


def _subscription(row: Sequence[Any]) -> Subscription:
    kind, subject_id, owner_id, events = row
    return Subscription(
        kind=kind,
        subject_id=subject_id,
        owner_id=owner_id,
        events=frozenset(map(NotifyEvent, events.split(","))),
    )


def _outbox_row(row: Sequence[Any]) -> OutboxRow:
    number, owner_id, channel, at, body, message_id, tries, due, sent_at, why = row
    return OutboxRow(
        notification_id=number,
        owner_id=owner_id,
        channel=channel,
        at=at,
        body=_body(bytes(body)),
        message_id=message_id,
        tries=tries,
        due=due,
        sent_at=sent_at,
        why=why,
    )
