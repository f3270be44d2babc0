"""Messages from the central to one pilot: each call sends one on the pilot's `down` topic."""

import msgspec

from pilotage.proto import topics
from pilotage.proto.messages import Attempt, BeatAnswer, Stop, Wake

from ..ports import Bus
from ..sent_messages import Down


class Downlink:
    """The `Outbound` of the jobs' services over the bus. Its messages may be lost."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    @property
    def up(self) -> bool:
        return self._bus.up

    def wake(self, community: str, pilot: str, n: int, term: int, leader: str = "") -> None:
        self._say(community, pilot, Down(wake=Wake(n, term, leader)))

    def stop(self, community: str, pilot: str, stop: Stop) -> None:
        self._say(community, pilot, Down(stop=stop))

    def drain(self, community: str, pilot: str) -> None:
        self._say(community, pilot, Down(drain=True))

    def hurry(self, community: str, pilot: str) -> None:
        self._say(community, pilot, Down(hurry=True))

    def follow(self, community: str, pilot: str, attempt: Attempt) -> None:
        self._say(community, pilot, Down(follow=attempt))

    def beat(self, community: str, pilot: str, answer: BeatAnswer) -> None:
        """Answer a heartbeat that came over the bus."""
        self._say(community, pilot, Down(beat=answer))

    def _say(self, community: str, pilot: str, message: Down) -> None:
        self._bus.publish(topics.down(community, pilot), msgspec.json.encode(message))
