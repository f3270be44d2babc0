"""A pilot's first word: as whom the journal knows it, or as whom its secret makes it."""

from pilotage.proto.messages import Attempt, Hello, Node, Register, Registered
from pilotage.proto.wire import decode, encode

from .entries import Identity, KeptAssignment, KeptEnded
from .line import Line
from .ports import Journal, Randomness


async def introduce(
    line: Line, journal: Journal, random: Randomness, secret: str, node: Node
) -> Registered:
    """Come back as whom the journal names, or register. Raises Refused."""
    kept = journal.identity()
    who = decode(Identity, kept) if kept is not None else None
    if who is not None and who.pilot:
        me = await line.hello(_hello(who, journal, random.token()))
    else:
        if who is None:
            # Kept before it is said: a pilot that dies now is the same one when it says it again.
            who = Identity(random.token())
            journal.keep_identity(encode(who))
        me = await line.register(Register(secret=secret, nonce=who.nonce, node=node))
    journal.keep_identity(encode(Identity(who.nonce, me.pilot, me.renewal_secret)))
    return me


def _hello(who: Identity, journal: Journal, nonce: str) -> Hello:
    ended = (decode(KeptEnded, entry).report for entry in journal.ended().values())
    held = (decode(KeptAssignment, entry).assignment for entry in journal.assignments().values())
    left = {(one.job, one.epoch) for one in ended} | {(one.job, one.epoch) for one in held}
    return Hello(
        pilot=who.pilot,
        renewal_secret=who.renewal_secret,
        nonce=nonce,
        unanswered=tuple(Attempt(job, epoch) for job, epoch in sorted(left)),
    )
