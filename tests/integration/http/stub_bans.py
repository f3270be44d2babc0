"""A service of bans that answers something fixed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pilotage.central.identity.callers import User
from pilotage.proto.api import bans

if TYPE_CHECKING:
    from .stubs import Stub

VIEW = bans.BanView(
    ban=7, person="eve", issuer="i", subject="eve", since="1970-01-01T00:00:00Z", who="oscar"
)


@dataclass
class StubBans:
    stub: "Stub"

    async def ban(self, caller: User, asked: bans.BanRequest, /) -> bans.BanMade:
        self.stub.asked.append(("ban", caller, asked))
        return bans.BanMade(ban=VIEW)

    async def list(
        self, caller: User, /, *, person: str, issuer: str, lifted: bool, after: int, limit: int
    ) -> bans.Bans:
        self.stub.asked.append(("bans", caller, (person, issuer, lifted, after, limit)))
        return bans.Bans(bans=[VIEW])

    async def lift(self, caller: User, ban: str, /) -> bans.BanView:
        self.stub.asked.append(("lift", caller, ban))
        return VIEW
