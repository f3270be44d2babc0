"""`pilotage whoami`."""

from typing import TYPE_CHECKING

from .options import COMMON, READING_S, Common, run_with
from .present import print_json, print_line

if TYPE_CHECKING:
    from ..client.client import AsyncClient


def whoami(*, common: Common = COMMON) -> int:
    """Say as whom and to which central this command speaks."""

    async def work(client: "AsyncClient") -> int:
        me = await client.whoami()
        if common.json:
            print_json(me)
            return 0
        print_line(f"{me.subject} ({me.name or 'no name'}), {me.role.value} at {client.url}")
        print_line(f"community {me.community or 'all'}, groups {', '.join(me.groups) or 'none'}")
        print_line(f"issued by {me.issuer}; the token is valid for {_left(me.expires_in_s)}")
        return 0

    return run_with(common, work, patience_s=READING_S)


def _left(seconds: float) -> str:
    hours = seconds / 3_600
    return f"{hours:.1f} h" if hours < 72 else f"{hours / 24:.0f} days"
