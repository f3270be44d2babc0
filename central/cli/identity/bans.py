"""`pilotage ban`, `unban` and `bans`."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..command_frame import Client, CommandResult, changes, reads
from ..presentation import note, print_line, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pilotage.proto.api.bans import BanMade, BanView

ISSUED_SHOWN = 10  # tokens that a message names

IssuerOption = Annotated[
    str, Parameter(help="Issuer of the person's tokens (default: found by the name).")
]


@changes
async def ban(
    client: Client,
    person: str,
    /,
    *,
    reason: Annotated[str, Parameter(help="Reason, shown to operators and to the person.")] = "",
    issuer: IssuerOption = "",
) -> CommandResult:
    """Ban a person from the whole central, at once and also after a restart.

    PERSON is the name that the central shows: SUBJECT, or SUBJECT@ISSUER for other issuers. With
    --issuer, PERSON is the subject, even if it was never seen here. The central refuses all
    requests of the person, holds waiting jobs and kills running jobs. The person's transformations
    and rules make no more jobs. Pilots keep running, and tokens that the person issued to others
    stay valid.
    """
    made = await client.ban(person, issuer=issuer, reason=reason)
    return CommandResult(made, _print_made)


@changes
async def unban(client: Client, person: str, /, *, issuer: IssuerOption = "") -> CommandResult:
    """Lift the ban of a person, and release the jobs that the ban held.

    Jobs that were held before stay held, and killed jobs stay Killed.
    """
    lifted = await client.unban(person, issuer=issuer)
    words = f"{lifted.person} is no longer banned; the jobs that ban {lifted.ban} held are released"
    return CommandResult(lifted, words)


@reads
async def bans(
    client: Client,
    *,
    all: Annotated[bool, Parameter(help="Include bans that were lifted lately.")] = False,
) -> CommandResult:
    """List banned persons."""
    return CommandResult([one async for one in client.bans(lifted=all)], _print_bans)


def _print_made(made: "BanMade") -> None:
    view = made.ban
    if made.repeated:
        print_line(f"{view.person} has already been banned since {view.since}, by {view.who}")
    else:
        print_line(
            f"{view.person} is banned (ban {view.ban}); waiting jobs are held, running jobs killed"
        )
    if not made.issued:
        return
    ids = " ".join(one.jti for one in made.issued[:ISSUED_SHOWN])
    more = " …" if len(made.issued) > ISSUED_SHOWN else ""
    note(f"valid tokens that {view.subject} has issued to others: {len(made.issued)}")
    note(f"an admin can revoke them: pilotage token revoke {ids}{more}")


def _print_bans(found: "Sequence[BanView]") -> None:
    rows = [(one.ban, one.person, one.since, one.who, _state(one), one.reason) for one in found]
    columns = ("ban", "person", "since", "by", "", "reason")
    print_table(columns, rows, empty="no bans")


def _state(view: "BanView") -> str:
    if not view.lifted_at:
        return ""
    return f"lifted {view.lifted_at} by {view.lifted_by}" + ", releasing" * (not view.released)
