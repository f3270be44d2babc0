"""`pilotage session …`."""

from cyclopts import App

from ..command_frame import Answers, CentralConnection, Client, CommandResult, changes, reads
from ..exit_codes import UsageError
from ..presentation import table

app = App(name="session", help="List and end sessions of people who logged in.")


@app.command(name="list")
@reads
async def list_sessions(client: Client) -> CommandResult:
    """List sessions: yours, or those that your role may see."""
    found = await client.sessions()
    rows = (
        (
            one.session,
            one.person or one.subject,
            one.community or "all",
            one.role.value,
            one.kind,
            one.host or one.address,
            one.used_at,
            one.ended or f"until {one.ends_at}",
        )
        for one in found.sessions
    )
    columns = ("session", "person", "community", "role", "kind", "from", "used", "state")
    return CommandResult(found, table(columns, rows, empty="no sessions"))


@app.command
@changes
async def end(central: CentralConnection, *sessions: str) -> Answers:
    """End sessions. Their tokens are refused from now on."""
    if not sessions:
        raise UsageError("no sessions to end: give ids from `pilotage session list`")
    client = await central.client()
    for session in sessions:
        await client.end_session(session)
        yield CommandResult({"session": session, "ended": True}, f"{session}: ended")
