"""Makes operators' actions on sites idempotent: a late copy of an action changes nothing.

A proxy may deliver a copy of a ban hours after the site was enabled again. So each action with a
key is stored in the transaction of its mark, refusals too, and a copy gets the first answer. If
a failure came between the mark and the notice to the pilots, the copy completes the notice.
"""

import hashlib

import msgspec

from pilotage.proto.api.sites import SiteAction
from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity import actions as action_records
from ..identity.action_keys import ActionDenial
from ..identity.actions import ActionKey, ActionRow
from ..identity.callers import User
from ..ports import Clock
from ..store.engine import Store
from ..store.errors import KeyReused

_encode = msgspec.json.encode


class _Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of an action; the defaults stand for an incomplete one."""

    told: int = 0  # pilots that got the order to drain
    no: ActionDenial | None = None


class SiteActionBook:
    """The progress of one action on a site."""

    def __init__(self, store: Store, name: ActionKey | None, body_hash: str, at: float) -> None:
        self.is_new = True
        self.is_over = False  # answered before: nothing is left to do
        self._store, self._name, self._body_hash, self._at = store, name, body_hash, at
        self._progress = _Progress()

    def go_on(self, row: ActionRow) -> None:
        """Continue the stored action. Raises KeyReused if it was a different one."""
        if row.body_hash != self._body_hash:
            raise KeyReused(row.name.key, "action")
        self.is_new, self.is_over = False, row.complete
        self._progress = msgspec.json.decode(row.progress, type=_Progress)

    @property
    def begun(self) -> ActionRow | None:
        """The row to store with the marks; None for an action without a key."""
        return self._row(is_complete=False)

    async def close(self, told: int) -> None:
        """Store that the action is complete. `told`: pilots that got the order to drain."""
        await self._end(_Progress(told=told))

    async def deny(self, why: Refused) -> None:
        """Store that the action was refused, so that a copy is refused too."""
        await self._end(_Progress(no=ActionDenial(why.code.value, why.message, why.field)))

    def told(self) -> int:
        """Return how many pilots got the order to drain. Raises the first refusal again."""
        no = self._progress.no
        if no is not None:
            raise Refused(Code(no.code), no.message, field=no.field)
        return self._progress.told

    async def _end(self, progress: _Progress) -> None:
        self._progress = progress
        row = self._row(is_complete=True)
        if row is not None:
            await self._store.write(action_records.keep_action, row)

    def _row(self, *, is_complete: bool) -> ActionRow | None:
        if self._name is None:
            return None
        return ActionRow(
            name=self._name,
            body_hash=self._body_hash,
            at=self._at,
            progress=_encode(self._progress),
            complete=is_complete,
        )


async def open_book(
    store: Store, clock: Clock, caller: User, site: str, action: SiteAction
) -> SiteActionBook:
    """Return the book of an action on a site. Raises KeyReused."""
    body_hash = hashlib.sha256(_encode((site, action))).hexdigest()
    if not action.key:
        return SiteActionBook(store, None, body_hash, clock.wall())
    name = ActionKey(caller.community, caller.issuer, caller.subject, action.key)
    book = SiteActionBook(store, name, body_hash, clock.wall())
    known = await store.write(action_records.action, name)
    if known is not None:
        book.go_on(known)
    return book
