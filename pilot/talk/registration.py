"""The first request of a pilot, with the identity in the journal, or with its secret."""

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


class PilotRegistration:
    """Repeats the first request until it is answered, called off, or has taken too long."""

    def __init__(
        self, channel: CentralChannel, renewal: Renewal, journal: Journal, random: Randomness
    ) -> None:
        self._channel, self._renewal = channel, renewal
        self._journal, self._random = journal, random
        self._saying: Optional[asyncio.Task[Registered]] = None
        self._called_off = False

    def call_off(self) -> None:
        """End `run`, even in the middle of a request."""
        self._called_off = True
        if self._saying is not None:
            self._saying.cancel()

    async def run(self, secret: str, node: Node, within_s: float) -> Optional[Registered]:
        """Return the identity, or None if there is none. Raises RequestRefused."""
        async with Tasks() as tasks:
            first_word = introduce(
                self._channel, self._renewal, self._journal, self._random, secret, node
            )
            self._saying = tasks.start(first_word, name="introduction")
            if not self._called_off:
                await asyncio.wait((self._saying,), timeout=within_s)
            self._saying.cancel()
        return None if self._saying.cancelled() else self._saying.result()

    def failure(self, central: str, waited_s: float) -> str:
        """Return why the first request failed."""
        last = self._channel.last_refusal
        if last is None or not last.status:
            why = f" ({last.message})" if last is not None else ""
            return f"no answer from {central} for {waited_s:.0f} s{why}"
        text = f"{last.status} {last.code} {last.message}".strip()
        return f"{central} has not accepted the pilot for {waited_s:.0f} s: {text}"


async def introduce(
    channel: CentralChannel,
    renewal: Renewal,
    journal: Journal,
    random: Randomness,
    secret: str,
    node: Node,
) -> Registered:
    """Say hello with the identity in the journal, or register. Raises RequestRefused."""
    kept = journal.identity()
    if kept is None:
        # Stored before it is sent: if the pilot dies now, its next process registers as the same
        # pilot.
        who = Identity(random.token())
        renewal.keep(who)
        return await _register(channel, renewal, secret, node)
    renewal.restored(decode(Identity, kept))
    if not renewal.who.pilot:
        # An earlier process began this registration, and may still run elsewhere as the same pilot:
        # the new session that hello opens ends it.
        await _register(channel, renewal, secret, node)
    who = renewal.who
    if who.session:
        who = replace(who, session=who.session + 1)
        renewal.keep(who)
    # The session in the answer differs only if the journal, or the central, is from before sessions
    # had names.
    return await channel.hello(_hello(who, journal, random.token()))


async def _register(
    channel: CentralChannel, renewal: Renewal, secret: str, node: Node
) -> Registered:
    nonce = renewal.who.nonce
    me = await channel.register(Register(secret=secret, nonce=nonce, protocol=PROTOCOL, node=node))
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
