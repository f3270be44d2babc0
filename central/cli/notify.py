"""`pilotage notify`, and the option `--notify`: messages by mail or webhook."""

from typing import Annotated, TypeAlias

from cyclopts import Parameter

from pilotage.proto.api.notifications import NotificationsView, NotifyEvent

from .command_frame import CentralConnection, CommandResult, changes
from .exit_codes import UsageError
from .presentation import print_line, print_table

NONE = "none"
EVENTS = ", ".join(one.value for one in NotifyEvent)


def _check_events(_: object, text: str | None) -> None:
    known = {NONE, *(one.value for one in NotifyEvent)}
    for word in filter(None, (text or "").split(",")):
        if word.strip().lower() not in known:
            raise ValueError(f"{word.strip()!r} is not one of {EVENTS}")


NotifyOption: TypeAlias = Annotated[
    str,
    Parameter(
        help=f"Send you messages about some of: {EVENTS}. `pilotage notify` sets your address.",
        validator=_check_events,
    ),
]


@changes
async def notify(
    central: CentralConnection,
    /,
    *,
    submission: Annotated[int | None, Parameter(help="Id of a submission to follow.")] = None,
    prod: Annotated[str, Parameter(help="Name or id of a production to follow.")] = "",
    on: Annotated[
        str | None,
        Parameter(help=f"Some of {EVENTS}, or none (default: end,fail).", validator=_check_events),
    ] = None,
    mail: Annotated[str | None, Parameter(help="Mail address, or none.")] = None,
    webhook: Annotated[str | None, Parameter(help="URL for messages in JSON, or none.")] = None,
) -> CommandResult:
    """Show or change your notifications by mail and webhook, and your addresses.

    The default mail address is the one that your institute has verified.
    """
    if submission is not None and prod:
        raise UsageError("give either --submission or --prod, not both")
    if on is not None and submission is None and not prod:
        raise UsageError("--on needs --submission or --prod")
    client = await central.client()
    found: NotificationsView | None = None
    if mail is not None or webhook is not None:
        found = await client.set_notification_addresses(mail=_given(mail), webhook=_given(webhook))
    if submission is not None or prod:
        found = await client.notify(submission=submission, production=prod, on=on or "end,fail")
    return CommandResult(found or await client.notifications(), _print)


def _given(address: str | None) -> str | None:
    return "" if address == NONE else address


def _print(found: NotificationsView) -> None:
    print_line(f"mail: {found.mail or NONE}")
    print_line(f"webhook: {found.webhook or NONE}")
    if found.webhook_secret:
        print_line(f"webhook secret: {found.webhook_secret}")
    for one in found.open:
        print_line(f"{one.kind} {one.id}: {', '.join(event.value for event in one.on)}")
    if found.recent:
        rows = [
            (one.at, one.channel, one.title, _status(one.status, one.tries, one.why))
            for one in found.recent
        ]
        print_table(("at", "by", "message", "status"), rows, empty="")


def _status(status: str, tries: int, why: str) -> str:
    return f"{status}, {tries} tries: {why}" if why else status
