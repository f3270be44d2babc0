"""A service of bans that answers something fixed."""

from pilotage.central.identity.bans.service import BanService
from pilotage.central.identity.callers import User
from pilotage.proto.api import bans

from .stub_calls import Hearing, override

VIEW = bans.BanView(
    ban=7, person="eve", issuer="i", subject="eve", since="1970-01-01T00:00:00Z", who="oscar"
)


class StubBans(Hearing, BanService):
    """Knows one ban."""

    @override
    async def ban(self, caller: User, asked: bans.BanRequest) -> bans.BanMade:
        self.hear("ban", caller, asked)
        return bans.BanMade(ban=VIEW)

    @override
    async def list(
        self, caller: User, *, person: str, issuer: str, lifted: bool, after: int, limit: int
    ) -> bans.Bans:
        self.hear("bans", caller, (person, issuer, lifted, after, limit))
        return bans.Bans(bans=[VIEW])

    @override
    async def lift(self, caller: User, ban: str) -> bans.BanView:
        self.hear("lift", caller, ban)
        return VIEW
