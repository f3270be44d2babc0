"""Rotates the renewal secret of a pilot at each use. If two processes use one, the pilot ends.

The text of a secret has its number, so a used secret is still recognized as genuine. A pilot draws
one nonce for each secret, and writes it to its journal before it sends it. So an honest pilot
never sends two nonces with one secret. If two nonces come, two processes have the secret.
"""

import enum
import hmac
from typing import Final

import msgspec

from pilotage.proto.messages import Node
from pilotage.proto.pilot_states import FINAL, PilotEvent
from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.pilot_tokens import PilotTokens
from ..identity.secret_hashes import hashed
from ..observe.events import Log
from ..store.engine import Store
from ..store.errors import StoreFull
from . import record as pilot_records
from .dispatch_port import PilotMoves
from .presence import Pilots, Presence, presence_of
from .record_types import MARK, PilotRow

BAD_SECRET: Final = "this renewal secret does not belong to this pilot"


class NonceVerdict(enum.Enum):
    """The verdict on a nonce that comes with a used secret."""

    AGAIN = "again"  # a repetition of the last use: its answer may be lost
    LATE = "late"  # a late copy of an older use
    REPLAY = "replay"  # another process uses the secret


def judge(row: PilotRow, number: int, mark: str) -> NonceVerdict:
    """Judge a use of secret `number`, which was used before according to the row. Pure."""
    back = row.renewals - 1 - number
    if back >= len(row.used) or row.used[back] != mark:
        return NonceVerdict.REPLAY
    return NonceVerdict.LATE if back else NonceVerdict.AGAIN


class Renewals:
    """Accepts renewal secrets and returns the next ones."""

    def __init__(
        self,
        *,
        store: Store,
        pilots: Pilots,
        moves: PilotMoves,
        tokens: PilotTokens,
        log: Log,
    ) -> None:
        self._store, self._pilots, self._moves = store, pilots, moves
        self._tokens, self._log = tokens, log

    async def use(
        self, pilot: str, secret: str, nonce: str, *, may_stay: bool = False
    ) -> tuple[PilotRow, str]:
        """Use a secret. Return the pilot's row and its next secret.

        With `may_stay` a full store is not an error: the returned secret is empty then, and the
        pilot uses the same secret and nonce again. Raises Refused: BAD_TOKEN, USED_SECRET (a late
        copy), OLD_SESSION (the pilot has ended, or this use ends it), OTHER_STORE.
        """
        row = await self._store.read(pilot_records.pilot, pilot)
        if row is None:
            raise Refused(Code.BAD_TOKEN, BAD_SECRET)
        number = self._number(row, secret)
        if row.state in FINAL:
            raise Refused(Code.OLD_SESSION, f"pilot {pilot} has ended: {row.reason}")
        if not nonce:
            if row.renewals:
                raise Refused(Code.BAD_TOKEN, "a renewal secret must come with a nonce")
            return row, secret
        if number > row.renewals:
            raise Refused(
                Code.OTHER_STORE,
                f"renewal secret {number} is newer than this store, which was probably restored"
                " from a backup",
            )
        mark = hashed(nonce)[:MARK]
        if number == row.renewals:
            try:
                row = await self._rotate(row, number, mark)
            except StoreFull:
                if may_stay and self._stays(pilot, number, mark):
                    return row, ""
                raise
        await self._check(row, number, mark)
        return row, self._tokens.numbered_secret(pilot, row.renewals)

    def first(self, row: PilotRow, unnumbered: str) -> str:
        """Return the secret for the answer to a registration. Raises Refused: OLD_SESSION."""
        if row.renewals > 1:
            why = f"pilot {row.pilot} has renewed its token since it registered"
            raise Refused(Code.OLD_SESSION, why)
        return self._tokens.numbered_secret(row.pilot, 1) if row.renewals else unnumbered

    def _number(self, row: PilotRow, secret: str) -> int:
        number = self._tokens.secret_number(row.pilot, secret)
        if number is not None:
            return number
        if hmac.compare_digest(row.renewal_hash, hashed(secret)):
            return 0
        raise Refused(Code.BAD_TOKEN, BAD_SECRET)

    def _stays(self, pilot: str, number: int, mark: str) -> bool:
        """Note a use that the store could not write. Return whether it is the secret's only one."""
        presence = self._pilots.find(pilot)
        if presence is None:
            return False
        presence.unwritten = presence.unwritten or (number, mark)
        return presence.unwritten == (number, mark)

    async def _rotate(self, row: PilotRow, number: int, mark: str) -> PilotRow:
        row = await self._store.write(pilot_records.rotate_secret, row.pilot, number, mark)
        presence = self._pilots.find(row.pilot)
        if presence is not None:
            unwritten, presence.unwritten = presence.unwritten, None
            if unwritten is not None and unwritten[0] == number and unwritten[1] != mark:
                await self._end(row, number)
        return row

    async def _check(self, row: PilotRow, number: int, mark: str) -> None:
        said = judge(row, number, mark)
        if said is NonceVerdict.REPLAY:
            await self._end(row, number)
        if said is NonceVerdict.LATE:
            raise Refused(
                Code.USED_SECRET,
                f"renewal secret {number} was used before: {row.renewals} is the current one",
            )

    async def _end(self, row: PilotRow, number: int) -> None:
        """End the pilot. Raises Refused: OLD_SESSION, or UNAVAILABLE if it cannot be ended now.

        The central cannot tell which holder is honest. The pilot's jobs are requeued when their
        leases expire, not sooner: its payloads may still run, and a report that they have stopped
        would be worth nothing (PROTOCOL C6).
        """
        why = f"its renewal secret {number} was used by two processes: its journal was copied"
        presence = self._pilots.find(row.pilot) or _unlisted(row)
        if presence.state not in FINAL:
            await self._moves.pilot_moved(presence, PilotEvent.REPLAYED, why)
            presence = self._pilots.find(row.pilot) or presence
            if presence.state not in FINAL:
                raise Refused(Code.UNAVAILABLE, f"pilot {row.pilot} is not ended yet: {why}")
            self._log(
                "secret_replayed",
                pilot=row.pilot,
                site=row.site,
                host=row.host,
                session=row.session,
                number=number,
            )
        self._pilots.forget(row.pilot)
        raise Refused(Code.OLD_SESSION, f"pilot {row.pilot} has ended: {why}")


def _unlisted(row: PilotRow) -> Presence:
    """Return a presence from the store for a pilot that is not in memory."""
    node = msgspec.json.decode(row.node, type=Node) if row.node else Node(host=row.host)
    return presence_of(row, node, None, heard=0.0, wall=row.made_at)
