"""`pilotage whoami`."""

from .command_frame import Client, CommandResult, reads
from .identity.login_words import groups_in_words


@reads
async def whoami(client: Client) -> CommandResult:
    """Show your identity, and the central that you use."""
    me = await client.whoami()
    lines = (
        f"{me.subject} ({me.name or 'no name'}), {me.role.value} at {client.url}",
        f"community {me.community or 'all'}, groups {groups_in_words(me.role, me.groups)}",
        f"issued by {me.issuer}; the token is valid for {_left(me.expires_in_s)}"
        + (", and renewed before that" if me.session else ""),
    )
    return CommandResult(me, "\n".join(lines))


def _left(seconds: float) -> str:
    hours = seconds / 3_600
    return f"{hours:.1f} h" if hours < 72 else f"{hours / 24:.0f} days"
