"""The bus for more than a small site: an external mosquitto with its dynamic-security plug-in.

`deploy/mosquitto` has the configuration. The central's login administers the plug-in. At the first
connection it gives itself the missing rights for the pilots' topics.
"""

import asyncio
import dataclasses
from collections import OrderedDict
from itertools import islice

from pilotage.proto import topics

from ..observe.events import Log
from ..ports import Clock, Inbound, Randomness
from . import dynsec
from .address import Address, BusTimeouts
from .connection import BusConnection
from .dynsec import BrokerAccount, Response
from .errors import BusError
from .logins import check_names

BATCH_MIN, BATCH_MAX = 10, 200  # logins in one message; a batch is faster than single messages
BUSY_S = 1.0  # target time of a batch, in which mosquitto serves no other client
ANSWER_S = 10.0
CALLER_WAITS_S = 2.0
RETRY_S = 1.0


def batch_of(logins: int, took_s: float) -> int:
    """Return how many logins to send next, given the size and the duration of the last batch.

    The plug-in writes its whole file twice for each login, and serves no client during that. It
    takes longer the more logins it knows.
    """
    return max(BATCH_MIN, min(BATCH_MAX, int(logins * BUSY_S / max(took_s, 0.001))))


class BrokerTimeout(BusError):
    """The plug-in did not answer in time. It may have run the commands; repeat them."""


class MosquittoBus:
    """A `Bus` over an external mosquitto."""

    def __init__(
        self,
        address: Address,
        *,
        clock: Clock,
        randomness: Randomness,
        log: Log,
        patience: BusTimeouts | None = None,
        queue_max: int = 10_000,
        public_url: str = "",
    ) -> None:
        self._address, self._public_url = address, public_url
        self._clock, self._randomness = clock, randomness
        self._connection = BusConnection(
            address,
            [topics.all_up(), dynsec.RESPONSE],
            clock=clock,
            randomness=randomness,
            log=log,
            patience=patience,
            queue_max=queue_max,
            greet=self._greet,
        )
        # Logins not yet confirmed, the newest of each pilot.
        self._wanted: OrderedDict[str, BrokerAccount] = OrderedDict()
        # Logins that this process made and did not remove. A new broker gets them again.
        self._made: dict[str, BrokerAccount] = {}
        self._changed = asyncio.Event()  # a login is wanted, or the connection is new
        self._settled = asyncio.Condition()
        self._batch = BATCH_MAX  # logins in the next message
        self._furnished = False
        self._unsure = True  # true: this connection's broker may lack the central's role
        self._answers: dict[str, Response] = {}
        self._answered = asyncio.Event()
        self._connections = 0  # so far; commands sent over an older one get no answer

    @property
    def up(self) -> bool:
        return self._connection.up and self._furnished

    @property
    def url(self) -> str:
        return self._public_url or self._address.url

    def counts(self) -> dict[str, int]:
        return dataclasses.asdict(self._connection.traffic)

    def publish(self, topic: str, payload: bytes) -> None:
        self._connection.publish(topic, payload)

    async def add_login(self, community: str, pilot: str, password: str) -> None:
        check_names(community, pilot)
        await self._want(BrokerAccount(community, pilot, password))

    async def remove_login(self, community: str, pilot: str) -> None:
        check_names(community, pilot)
        await self._want(BrokerAccount(community, pilot, None))

    async def run(self, inbound: Inbound) -> None:
        async def sort(topic: str, payload: bytes) -> None:
            if topic == dynsec.RESPONSE:
                self._take_answers(payload)
            else:
                await inbound(topic, payload)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._connection.run(sort))
            tasks.create_task(self._keep_logins())

    # -- logins ---------------------------------------------------------------------------------

    async def _want(self, login: BrokerAccount) -> None:
        """Note the login. If the broker is up, wait a short time for its confirmation."""
        self._wanted[login.pilot] = login
        self._changed.set()
        if not self.up:
            return
        try:
            async with asyncio.timeout(CALLER_WAITS_S), self._settled:
                await self._settled.wait_for(lambda: self._wanted.get(login.pilot) is not login)
        except TimeoutError:
            return  # it is made later; until then the pilot uses HTTP

    def _greet(self) -> None:
        self._connections += 1
        self._unsure = True
        self._changed.set()
        self._answered.set()

    async def _keep_logins(self) -> None:
        """Apply the wanted logins to the broker, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                while self._connection.up and (self._unsure or self._wanted):
                    if self._unsure:
                        await self._furnish()
                    else:
                        await self._settle()
            except BrokerTimeout:
                self._batch = batch_of(self._batch, ANSWER_S)
                await self._clock.sleep(RETRY_S)
                self._changed.set()

    async def _furnish(self) -> None:
        """Get the right to write to pilots. Granting it cuts the connection."""
        answer = (await self._carry_out(dynsec.ask_for(self._address.user)))[0]
        self._unsure = False
        if dynsec.has_own_role(answer):
            self._furnished = True
            return
        self._furnished = False
        for login in self._made.values():  # a broker without the role has no pilots' logins either
            self._wanted.setdefault(login.pilot, login)
        asked_over = self._connections
        self._connection.publish(dynsec.CONTROL, dynsec.encode(dynsec.furnish(self._address.user)))
        self._unsure = True  # the next connection shows whether it worked
        try:
            async with asyncio.timeout(RETRY_S):
                while self._connections == asked_over:
                    self._answered.clear()
                    await self._answered.wait()
        except TimeoutError:
            return

    async def _settle(self) -> None:
        batch = list(islice(self._wanted.values(), self._batch))
        gone = [login for login in batch if login.password is None]
        kept = [login for login in batch if login.password is not None]
        commands = [one for login in gone for one in dynsec.forget(login)]
        made = [one for login in kept for one in dynsec.make(login)]
        began = self._clock.monotonic()
        answers = (await self._carry_out(commands + made))[len(commands) :]
        self._batch = batch_of(len(batch), self._clock.monotonic() - began)
        # The client is the second of the two commands for each login. Passwords are derived, so a
        # login from an earlier process is the same. Replacing it would cut off all pilots each time
        # the central restarts.
        old = [
            login
            for login, answer in zip(kept, answers[1::2], strict=True)
            if answer.error.endswith(dynsec.EXISTS) and self._made.get(login.pilot, login) != login
        ]
        if old:
            await self._carry_out([one for login in old for one in dynsec.replace(login)])
        async with self._settled:
            for login in batch:
                self._confirm(login)
            self._settled.notify_all()

    def _confirm(self, login: BrokerAccount) -> None:
        if self._wanted.get(login.pilot) is login:  # else it has changed since
            del self._wanted[login.pilot]
        if login.password is None:
            self._made.pop(login.pilot, None)
        else:
            self._made[login.pilot] = login

    # -- commands and answers -------------------------------------------------------------------

    async def _carry_out(self, commands: list[dynsec.DynsecCommand]) -> list[Response]:
        """Send the commands and return their answers in order. Raises BrokerTimeout."""
        numbered = dynsec.numbered(commands, self._randomness.token(9))
        marks = [str(command["correlationData"]) for command in numbered]
        self._answers.clear()
        asked_over = self._connections
        self._connection.publish(dynsec.CONTROL, dynsec.encode(numbered))
        try:
            async with asyncio.timeout(ANSWER_S):
                while not all(mark in self._answers for mark in marks):
                    self._answered.clear()
                    await self._answered.wait()
                    if self._connections != asked_over:
                        raise BrokerTimeout("the connection to mosquitto broke during a command")
        except TimeoutError:
            raise BrokerTimeout("mosquitto's dynamic-security plug-in does not answer") from None
        return [self._answers[mark] for mark in marks]

    def _take_answers(self, payload: bytes) -> None:
        for answer in dynsec.decode(payload):
            self._answers[answer.correlation] = answer
        self._answered.set()
