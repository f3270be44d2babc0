"""A model of the renewal secret: one pilot, its central, a bad network, and sometimes a thief.

The product is not used here. The rules are those of docs/renewal-secret.md. A world
is drawn from a seed: messages are lost, copied, held back and reordered, the pilot dies at any
step and comes back from its journal, its disk refuses writes. Each name in `VARIANTS` breaks one
rule; the test of the model expects a violation for each.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

FAULTS_S: Final = 3_000.0
END_S: Final = 6_000.0
RENEW_S: Final = 150.0  # half of a token's life
RETRY_S: Final = 5.0
BEAT_S: Final = 40.0
HISTORY: Final = 32

VARIANTS: Final = {
    "no_history": "each used secret is a replay, whatever its nonce",
    "no_repeat": "the same secret and nonce again are refused, also when the answer was lost",
    "nonce_unkept": "the nonce is not in the journal before it is sent",
    "nonce_each_try": "each try draws another nonce",
    "two_at_once": "hello and token use one secret at the same time, each with its own nonce",
    "old_answer": "a late answer of an older use sets the pilot back to an older secret",
    "only_last": "the central judges the last used secret alone and refuses older ones silently",
    "lenient": "a used secret with an unknown nonce is refused, and nothing ends",
    "leaves_silently": "a pilot whose session is over ends without a use of its secret",
    "silent_pilot": "a pilot whose open use is refused as used ends without a word",
    "no_rotation": "the secret stays the same for ever",
}


@dataclass(frozen=True)
class Kept:
    """What the pilot's journal holds: a secret, and the nonce of its use once it is drawn."""

    secret: int
    nonce: str = ""
    session: int = 1


@dataclass(frozen=True)
class Use:
    """One use of a secret, by hello (session > 0) or by token (0)."""

    secret: int
    nonce: str
    session: int = 0


class Central:
    """The rules of the central: `answer` returns the next secret, or why it has refused."""

    def __init__(self, variant: str) -> None:
        self._variant = variant
        self.secret = 1
        self.session = 1
        self.session_by = ""  # the nonce of the hello that opened it
        self.ended = ""
        self._used: list[str] = []  # nonces, the newest first

    def answer(self, use: Use, session_by: str) -> int | str:
        """Judge one use. A number is the next secret; a word is a refusal."""
        if self.ended:
            return "old_session"
        if use.secret == self.secret and self._variant != "no_rotation":
            self._used = [use.nonce, *self._used][:HISTORY]
            self.secret += 1
        elif self._variant != "no_rotation":
            refusal = self._again(use)
            if refusal:
                return refusal
        if use.session > self.session:
            self.session, self.session_by = use.session, session_by
        if use.session and self.session_by != session_by:
            return "old_session"
        return self.secret

    def _again(self, use: Use) -> str:
        """Judge a used secret; an empty word lets the same answer go out again."""
        back = self.secret - 1 - use.secret
        known = back < len(self._used) and self._used[back] == use.nonce
        if self._variant == "no_history":
            known = known and back == 0
        if self._variant == "only_last" and back > 0:
            return "used"
        if known:
            return "used" if back > 0 or self._variant == "no_repeat" else ""
        if self._variant != "lenient":
            self.ended = f"secret {use.secret} was used with a second nonce"
        return "old_session"


class World:
    """One seed."""

    def __init__(self, seed: int, variant: str = "") -> None:
        self.chance, self.variant = random.Random(seed), variant
        self.now = 0.0
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        chance = self.chance
        self.loss = chance.choice((0.0, 0.1, 0.4))
        self.copies = chance.choice((0.0, 0.1, 0.5))
        self.held_s = chance.choice((0.5, 30.0, 900.0))
        self.deaths = chance.choice((0.0, 0.02, 0.1))
        self.disk_fails = chance.choice((0.0, 0.0, 0.3))
        self.central = Central(variant)
        self.pilot = Pilot(self, Kept(1))
        self.thief: Thief | None = None
        if chance.random() < 0.5:
            self.thief = Thief(self, greed=chance.choice((1, 2, 40)))
            self.at(chance.uniform(10.0, FAULTS_S - 500.0), self.thief.steal)
        self.lives = 1

    @property
    def is_calm(self) -> bool:
        return self.now > FAULTS_S

    def at(self, when: float, what: Callable[..., None], *args: Any) -> None:
        self._count += 1
        heapq.heappush(self._queue, (when, self._count, what, args))

    def after(self, seconds: float, what: Callable[..., None], *args: Any) -> None:
        self.at(self.now + seconds, what, *args)

    def draw(self) -> str:
        return f"{self.chance.getrandbits(48):012x}"

    def send(self, what: Callable[..., None], *args: Any) -> None:
        """Carry one message: late, twice, or not at all; promptly once all is calm."""
        if self.is_calm:
            self.after(0.01, what, *args)
            return
        if self.chance.random() < self.loss:
            return
        for _ in range(2 if self.chance.random() < self.copies else 1):
            slow = self.chance.random() < 0.2
            self.after(0.01 + slow * self.chance.uniform(0.0, self.held_s), what, *args)

    def request(self, use: Use, by: str, answered: Callable[[Use, int | str], None]) -> None:
        def arrive() -> None:
            self.send(answered, use, self.central.answer(use, by))

        self.send(arrive)

    def dies(self) -> bool:
        """Whether the pilot dies at this step."""
        if self.is_calm or self.chance.random() >= self.deaths:
            return False
        self.pilot.alive = False
        self.after(self.chance.uniform(0.0, 60.0), self._again, self.pilot.kept)
        return True

    def _again(self, kept: Kept) -> None:
        self.pilot = Pilot(self, kept)
        self.lives += 1

    def run(self) -> str:
        """Live to the end; return what was violated, or nothing."""
        while self._queue and self.now < END_S:
            self.now, _, what, args = heapq.heappop(self._queue)
            what(*args)
        served = self.thief is not None and self.thief.served
        if not served and (self.central.ended or not self.pilot.served_late):
            return f"honest: {self.central.ended or self.pilot.refused or 'never served again'}"
        if self.thief is not None and self.thief.used and not self.central.ended:
            return "theft: the thief has used a secret, and nobody knows"
        return ""


class Pilot:
    """One life of the honest pilot."""

    def __init__(self, world: World, kept: Kept) -> None:
        self.world, self.kept, self.alive = world, kept, True
        self.memory = kept  # the journal may be behind it by one answer
        self.refused = ""
        self.served_late = False  # after the faults
        self.is_known = world.lives == 1 if hasattr(world, "lives") else True
        self.by = world.draw()
        self._renews = False
        self._told = ""
        self._leaves = 0
        world.after(BEAT_S, self._beat)
        if not self.is_known:
            self.memory = replace(kept, session=kept.session + 1)
            world.after(0.1, self._hello)
            if world.variant == "two_at_once":
                world.after(0.2, self._renew)
        else:
            world.after(RENEW_S, self._renew)

    def _beat(self) -> None:
        """Hear whether the session is over. A pilot that hears it uses its secret, then ends."""
        if not self.alive or self.refused:
            return
        self.world.after(BEAT_S, self._beat)
        if self.is_known and self.world.central.session > self.memory.session:
            if self.world.variant == "leaves_silently":
                self.refused = "old_session"
            elif not self._renews:
                self._leaves += 1  # the first use may have been open when the thief came
                self.refused = "" if self._leaves <= 2 else "left"
                self._renew()

    def _hello(self) -> None:
        if self.alive and not self.is_known and not self.refused:
            self._use(self.memory.session, self._hello)

    def _renew(self) -> None:
        if self.alive and not self.refused:
            self._renews = True
            self._use(0, self._try_again)

    def _try_again(self) -> None:
        if self.alive and self._renews:
            self._renew()

    def _use(self, session: int, again: Callable[[], None]) -> None:
        """Journal the nonce, then send; the same nonce until the secret is answered."""
        world, memory = self.world, self.memory
        world.after(RETRY_S, again)
        nonce = memory.nonce
        if not nonce or world.variant in ("nonce_each_try", "two_at_once"):
            nonce = world.draw()
        memory = replace(memory, nonce=nonce)
        if self.kept != memory and world.variant != "nonce_unkept":
            if not world.is_calm and world.chance.random() < world.disk_fails:
                return  # not sent; a nonce that was there stays
            if world.dies():
                return
            self.kept = memory
        self.memory = memory
        if world.dies():
            return
        world.request(Use(memory.secret, nonce, session), self.by, self._answered)
        world.dies()

    def _answered(self, use: Use, answer: int | str) -> None:
        if not self.alive or self.refused or self.world.dies():
            return
        if use.secret != self.memory.secret and self.world.variant != "old_answer":
            return  # a late answer to an older use
        if answer == "used" and use.nonce != self._told and self.world.variant != "silent_pilot":
            # Somebody else has used what this one has led to: a second nonce tells the central.
            self._told = self._told or self.world.draw()
            self.memory = replace(self.memory, nonce=self._told)
            return
        if isinstance(answer, str):
            self.refused = answer
            return
        if use.session:
            self.is_known = True
        self._renews = False
        self.served_late = self.served_late or self.world.is_calm
        if answer != use.secret:
            self.memory = replace(self.memory, secret=answer, nonce="")
        if self.world.dies():
            return
        if self.world.is_calm or self.world.chance.random() >= self.world.disk_fails:
            self.kept = self.memory
        self.world.after(RENEW_S, self._renew)


class Thief:
    """Somebody who has read the journal once, and renews with what was in it."""

    def __init__(self, world: World, greed: int) -> None:
        self._world, self._greed = world, greed
        self._has = Kept(0)
        self._says_hello = world.chance.random() < 0.5
        self.served = False
        self.used = 0  # secrets that it has used with a nonce of its own, and was answered

    def steal(self) -> None:
        self._has = self._world.pilot.kept
        self._use()

    def _use(self) -> None:
        nonce = self._has.nonce or self._world.draw()  # an open nonce was in the journal as well
        session = self._world.central.session + 1 if self._says_hello else 0
        answer = self._world.central.answer(Use(self._has.secret, nonce, session), nonce)
        if not isinstance(answer, int):
            return
        self.served = True
        if not self._has.nonce:
            self.used += 1
        self._greed -= 1
        self._has = Kept(answer)
        if self._greed > 0:
            self._world.after(0.1, self._use)
