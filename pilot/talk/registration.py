"""A pilot's first word: as whom the journal knows it, or as whom its secret makes it."""

import asyncio
from dataclasses import replace
from typing import Optional

from pilotage.proto.messages import PROTOCOL, Attempt, Hello, Node, Register, Registered
from pilotage.proto.tasks import Tasks
from pilotage.proto.wire import decode

from ..journal_entries import Identity, KeptAssignment, KeptEnded
from ..ports import Journal, Randomness
from .conversation import CentralChannel
from .renewal import Renewal


class Introduction:
    """Says the first word until it is answered, called off, or has waited for too long."""

    def __init__(
        self, line: CentralChannel, renewal: Renewal, journal: Journal, random: Randomness
    ) -> None:
        self._line, self._renewal = line, renewal
        self._journal, self._random = journal, random
        self._saying: Optional[asyncio.Task[Registered]] = None
        self._called_off = False

    def call_off(self) -> None:
        """End `run`, in the middle of a request too."""
        self._called_off = True
        if self._saying is not None:
            self._saying.cancel()

    async def run(self, secret: str, node: Node, within_s: float) -> Optional[Registered]:
        """Return who we are, or None if that was not to be had. Raises Refused."""
        async with Tasks() as tasks:
            first_word = introduce(
                self._line, self._renewal, self._journal, self._random, secret, node
            )
            self._saying = tasks.start(first_word, name="introduction")
            if not self._called_off:
                await asyncio.wait((self._saying,), timeout=within_s)
            self._saying.cancel()
        return None if self._saying.cancelled() else self._saying.result()

    def failure(self, central: str, waited_s: float) -> str:
        """Say what became of the first word, once nothing has."""
        last = self._line.last_refusal
        if last is None or not last.status:
            why = f" ({last.message})" if last is not None else ""
            return f"nobody has answered at {central} for {waited_s:.0f} s{why}"
        said = f"{last.status} {last.code} {last.message}".strip()
        return f"{central} has not let us in for {waited_s:.0f} s: {said}"


async def introduce(
    line: CentralChannel,
    renewal: Renewal,
    journal: Journal,
    random: Randomness,
    secret: str,
    node: Node,
) -> Registered:
    """Come back as whom the journal names, or register. Raises Refused."""
    kept = journal.identity()
    if kept is None:
        # Kept before it is said: a pilot that dies now is the same one when it says it again.
        who = Identity(random.token())
        renewal.keep(who)
        return await _register(line, renewal, secret, node)
    renewal.restored(decode(Identity, kept))
    if not renewal.who.pilot:
        # It was begun by an earlier life, which may live on elsewhere as the same pilot: the new
        # session that hello opens ends it.
        await _register(line, renewal, secret, node)
    who = renewal.who
    if who.session:
        who = replace(who, session=who.session + 1)
        renewal.keep(who)
    # The session of the answer is another one only if the journal, or the central, is of before
    # sessions had names.
    return await line.hello(_hello(who, journal, random.token()))


async def _register(line: CentralChannel, renewal: Renewal, secret: str, node: Node) -> Registered:
    nonce = renewal.who.nonce
    me = await line.register(Register(secret=secret, nonce=nonce, protocol=PROTOCOL, node=node))
    renewal.keep(Identity(nonce, me.pilot, me.renewal_secret, me.session))
    return me


def _hello(who: Identity, journal: Journal, nonce: str) -> Hello:
    ended = (decode(KeptEnded, entry).report for entry in journal.ended().values())
    held = (decode(KeptAssignment, entry).assignment for entry in journal.assignments().values())
    left = {(one.job, one.epoch) for one in ended} | {(one.job, one.epoch) for one in held}
    return Hello(
        pilot=who.pilot,
        renewal_secret=who.renewal_secret,
        nonce=nonce,
        protocol=PROTOCOL,
        session=who.session,
        unanswered=tuple(Attempt(job, epoch) for job, epoch in sorted(left)),
    )
