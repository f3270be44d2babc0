"""The service for pilots: secrets, registration, tokens, drain, kill and lists."""

import asyncio
import hmac
from collections.abc import Sequence
from typing import Protocol

import msgspec

from pilotage.proto.api.pilots import (
    PilotEnd,
    PilotEnded,
    PilotPage,
    PilotView,
    Secret,
    SecretRequest,
    Secrets,
)
from pilotage.proto.messages import (
    PROTOCOL,
    BrokerLogin,
    Hello,
    Node,
    Register,
    Registered,
    TokenReply,
    TokenRequest,
)
from pilotage.proto.pilot_states import FINAL, LIVING, PilotEvent, PilotState
from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.callers import Caller, PilotCaller, User
from ..identity.pilot_tokens import PilotTokens
from ..identity.policy import Permission, Reach, reach
from ..identity.scope import Owners
from ..identity.secret_hashes import hashed
from ..jobs.leases import LeaseTable
from ..observe.events import Log
from ..outbound import Outbound
from ..ports import Bus, Clock, Leadership, Randomness
from ..settings import LeaseSettings
from ..store.engine import Store
from ..store.errors import PilotNotFound
from . import record as pilot_records, record_slots as slot_records
from .dispatch_port import PilotMoves
from .presence import Pilots, PlaceMarks, presence_of
from .protocol_versions import rotates, serves
from .record_types import NewSecret, PilotRow, Registration
from .renewals import Renewals
from .view import pilot_view

LOGINS_A_BATCH = 200


class Canceller(Protocol):
    """Cancels pilots at the elements that they were submitted to."""

    async def cancel(self, site: str, element: str, slots: Sequence[str]) -> str:
        """Ask an element to end these slots. Return the error, empty if there is none."""
        ...


class PilotMemory(Protocol):
    """The tables in memory that this module needs."""

    @property
    def pilots(self) -> Pilots: ...
    @property
    def leases(self) -> LeaseTable: ...
    @property
    def places(self) -> PlaceMarks: ...
    @property
    def owners(self) -> Owners: ...


class PilotService:
    """Registers, shows, drains and kills pilots."""

    def __init__(
        self,
        *,
        store: Store,
        memory: PilotMemory,
        moves: PilotMoves,
        tokens: PilotTokens,
        outbound: Outbound,
        bus: Bus,
        canceller: Canceller,
        leadership: Leadership,
        clock: Clock,
        randomness: Randomness,
        log: Log,
        settings: LeaseSettings,
    ) -> None:
        self._store, self._pilots, self._leases = store, memory.pilots, memory.leases
        self._places, self._moves = memory.places, moves
        self._owners, self._canceller = memory.owners, canceller
        self._tokens, self._outbound, self._bus = tokens, outbound, bus
        self._clock, self._randomness, self._log = clock, randomness, log
        self._settings, self._leadership = settings, leadership
        self._renewals = Renewals(
            store=store, pilots=memory.pilots, moves=moves, tokens=tokens, log=log
        )

    # -- messages of pilots ---------------------------------------------------------------------

    async def register(self, message: Register) -> Registered:
        """Register a pilot by its one-use secret. The same (secret, nonce) returns it again."""
        _check_protocol(message.protocol)
        # Derived from the message: a late copy must not change the pilot's first secret.
        unnumbered = self._tokens.renewal_secret(message.secret, message.nonce)
        node = message.node or Node(host="unknown")
        row = await self._store.write(
            pilot_records.register,
            Registration(
                secret_hash=hashed(message.secret),
                nonce=message.nonce,
                renewal_hash=hashed(unnumbered),
                host=node.host,
                node=msgspec.json.encode(node),
                at=self._clock.wall(),
                renewals=1 if rotates(message.protocol) else 0,
            ),
        )
        if not hmac.compare_digest(row.renewal_hash, hashed(unnumbered)):
            raise Refused(
                Code.OTHER_STORE,
                f"pilot {row.pilot} registered when this central had another key, perhaps before"
                " a restore: start a pilot with a new secret",
            )
        if row.session > 1:  # the pilot was restarted since: two processes cannot share a session
            raise Refused(
                Code.OLD_SESSION,
                f"pilot {row.pilot} has opened session {row.session} since it registered",
            )
        return await self._welcome(row, node, self._renewals.first(row, unnumbered))

    async def hello(self, message: Hello) -> Registered:
        """Open the next session of a restarted pilot. The older session ends."""
        _check_protocol(message.protocol)
        _, renewal = await self._renewals.use(
            message.pilot, message.renewal_secret, message.renewal_nonce
        )
        row = await self._store.write(
            pilot_records.hello, message.pilot, message.nonce, message.session
        )
        if row.nonce != message.nonce:  # a late copy, or two restarts at the same time
            raise Refused(
                Code.OLD_SESSION,
                f"pilot {row.pilot}: session {message.session} is not later than the current"
                f" session {row.session}",
            )
        node = msgspec.json.decode(row.node, type=Node)
        return await self._welcome(row, node, renewal)

    async def token(self, message: TokenRequest) -> TokenReply:
        """Return a new token and the next renewal secret."""
        row, renewal = await self._renewals.use(
            message.pilot, message.renewal_secret, message.nonce, may_stay=True
        )
        token, expires_in_s = self._tokens.pilot_token(
            row.pilot, row.community, row.site, row.element
        )
        return TokenReply(token=token, expires_in_s=expires_in_s, renewal_secret=renewal)

    async def _welcome(self, row: PilotRow, node: Node, renewal: str) -> Registered:
        if row.state in FINAL:  # the message was a late copy
            raise Refused(Code.OLD_SESSION, f"pilot {row.pilot} has ended: {row.reason}")
        presence = self._pilots.find(row.pilot)
        if presence is None or presence.session != row.session:
            self._moves.withdraw(row.pilot)
            heard, wall = self._clock.monotonic(), self._clock.wall()
            presence = presence_of(row, node, self._places, heard=heard, wall=wall)
            self._pilots.put(presence)
        if presence.state is PilotState.LOST:
            await self._moves.pilot_moved(presence, PilotEvent.BACK, "said hello")
        if presence.drain and presence.state is PilotState.RUNNING:
            why = "it was ordered to drain" if row.drain else "its site is draining"
            await self._moves.pilot_moved(presence, PilotEvent.DRAIN, row.told or why)
        token, expires_in_s = self._tokens.pilot_token(
            row.pilot, row.community, row.site, row.element
        )
        self._log(
            "pilot_registered",
            pilot=row.pilot,
            site=row.site,
            host=node.host,
            session=row.session,
        )
        self._moves.tell_pilot(presence, "registered")
        leader = self._leadership.url()
        return Registered(
            pilot=row.pilot,
            community=row.community,
            site=row.site,
            element=row.element,
            gen=self._store.generation,
            session=row.session,
            token=token,
            expires_in_s=expires_in_s,
            renewal_secret=renewal,
            broker=await self._login(row),
            beat_s=self._settings.beat_s,
            urls=(leader,) if leader is not None else (),
        )

    async def _login(self, row: PilotRow) -> BrokerLogin | None:
        """Make a broker login. Return None without a bus: the pilot then beats over HTTPS."""
        if not self._bus.url:
            return None
        password = self._tokens.broker_password(row.community, row.pilot)
        await self._bus.add_login(row.community, row.pilot, password)
        return BrokerLogin(url=self._bus.url, user=row.pilot, password=password)

    async def login_again(self) -> None:
        """Add the broker logins of all pilots again, since the broker may be new."""
        if not self._bus.url:
            return
        living = self._pilots.all()
        for start in range(0, len(living), LOGINS_A_BATCH):
            async with asyncio.TaskGroup() as tasks:
                for one in living[start : start + LOGINS_A_BATCH]:
                    password = self._tokens.broker_password(one.community, one.pilot)
                    tasks.create_task(self._bus.add_login(one.community, one.pilot, password))

    def willed(self, caller: PilotCaller) -> None:
        """Withdraw a pilot's parked offer after its last will. Leases do not end (PROTOCOL C6)."""
        self._moves.withdraw(caller.pilot)

    # -- people ---------------------------------------------------------------------------------

    async def make_secrets(self, caller: Caller, request: SecretRequest) -> Secrets:
        """Make one-use secrets. The store has only their hashes."""
        assert isinstance(caller, User)
        community = request.community or caller.community
        if not community or (caller.community and community != caller.community):
            why = "name one with --community, since your token is for all communities"
            if community:
                why = f"your token is for {caller.community!r}, not for {community!r}"
            raise Refused(Code.FORBIDDEN, f"community: {why}", field="community")
        at = self._clock.wall()
        made: list[Secret] = []
        rows: list[NewSecret] = []
        for _ in range(request.count):
            pilot = f"{request.site}-{self._randomness.token(6)}".lower().replace("_", "x")
            secret = self._randomness.token()
            made.append(Secret(pilot=pilot, secret=secret))
            rows.append(
                NewSecret(
                    secret_hash=hashed(secret),
                    pilot=pilot,
                    community=community,
                    site=request.site,
                    element=request.element,
                    expires_at=at + request.valid_s,
                    made_by=caller.subject,
                    at=at,
                )
            )
        await self._store.write(pilot_records.add_secrets, rows)
        return Secrets(secrets=made)

    async def list(
        self,
        caller: Caller,
        *,
        states: tuple[PilotState, ...],
        site: str,
        after: str,
        limit: int,
    ) -> PilotPage:
        """Return pilots ordered by name."""
        rows = await self._store.read(
            pilot_records.pilots,
            self._community(caller),
            states=states,
            site=site,
            after=after,
            limit=limit,
        )
        return PilotPage(
            pilots=[self._view(row) for row in rows],
            after=rows[-1].pilot if len(rows) == limit else None,
        )

    async def get(self, caller: Caller, pilot: str) -> PilotView:
        """Return one pilot with the facts from its element. Only operators see its output."""
        view = self._view(await self._row(caller, pilot))
        kept = await self._store.read(slot_records.slot_output, pilot)
        if kept is None:
            return view
        is_operator = reach(caller, Permission.PILOT_LOG) >= Reach.COMMUNITY
        return msgspec.structs.replace(
            view,
            slot=kept.slot or "",
            exit_code=kept.exit_code,
            stdout=kept.stdout.decode("utf-8", "replace") if is_operator else "",
            stderr=kept.stderr.decode("utf-8", "replace") if is_operator else "",
        )

    async def drain(self, caller: Caller, pilot: str) -> None:
        """Let a pilot finish its attempts and then end. The order survives a loss of the pilot."""
        row = await self._row(caller, pilot)
        presence = self._pilots.find(pilot)
        if presence is None or row.state not in LIVING:
            raise Refused(
                Code.ILLEGAL_STATE,
                f"pilot {pilot} is {row.state.value}: only a running pilot can be drained",
            )
        await self._store.write(pilot_records.order_pilot, pilot)
        presence = self._pilots.find(pilot) or presence  # its next session may have begun
        presence.drain = True
        self._moves.withdraw(pilot)
        if presence.state is PilotState.RUNNING:
            await self._moves.pilot_moved(presence, PilotEvent.DRAIN, "drained by an operator")
        self._outbound.drain(presence.community, pilot)

    async def kill(self, caller: Caller, pilot: str, order: PilotEnd) -> PilotEnded:
        """End a pilot without waiting for its attempts.

        A living pilot gets the order, stops its payloads and says good-bye; its jobs are requeued.
        A pilot that has not registered may not do so any more. In both cases its element is asked
        to end it. The jobs of a silent pilot are requeued only when their leases are over
        (PROTOCOL C6).
        """
        assert isinstance(caller, User)
        row = await self._row(caller, pilot)
        why = f"killed by {self._owners.word(caller.issuer, caller.subject)}"
        why = f"{why}: {order.reason}" if order.reason else why
        if row.state not in FINAL and row.registered_at is None:
            await self._store.write(
                slot_records.end_waiting, {pilot: why}, PilotState.ABORTED, self._clock.wall()
            )
            row = await self._row(caller, pilot)  # it may have registered by now
        elif row.state in FINAL:
            ended = f"{row.state.value}: {row.reason}"
            raise Refused(Code.ILLEGAL_STATE, f"pilot {pilot} has already ended as {ended}")
        is_ordered = await self._hurry(pilot, why) if row.state not in FINAL else False
        kept = await self._store.read(slot_records.slot_output, pilot)
        trouble = "no factory has submitted it: end it on the node where you started it"
        if row.registered_at is None:
            trouble = "it never registered, and now its secret is void"
        if kept is not None:
            trouble = "it has not reported the batch job's id yet"
            if kept.slot is not None:
                trouble = await self._canceller.cancel(row.site, row.element, [kept.slot])
        self._log("pilot_killed", pilot=pilot, site=row.site, why=why, trouble=trouble)
        return PilotEnded(
            pilot=pilot,
            state=(await self._row(caller, pilot)).state,
            told=is_ordered,
            cancelled=not trouble,
            trouble=trouble,
        )

    async def _hurry(self, pilot: str, why: str) -> bool:
        """Order a pilot to end now. Return False if the pilot cannot get the order."""
        if self._pilots.find(pilot) is None:
            return False
        await self._store.write(pilot_records.order_pilot, pilot, why)
        presence = self._pilots.find(pilot)  # its next session may have begun, or it has ended
        if presence is None:
            return False
        presence.told = why
        presence.drain = presence.hurry = True  # each answer repeats it until the pilot has ended
        self._moves.withdraw(pilot)
        if presence.state is PilotState.RUNNING:
            await self._moves.pilot_moved(presence, PilotEvent.DRAIN, why)
        self._outbound.hurry(presence.community, pilot)
        return presence.state in LIVING

    def _community(self, caller: Caller) -> str | None:
        assert isinstance(caller, User)
        return None if reach(caller, Permission.PILOT_READ) is Reach.ALL else caller.community

    async def _row(self, caller: Caller, pilot: str) -> PilotRow:
        row = await self._store.read(pilot_records.pilot, pilot)
        community = self._community(caller)
        if row is None or (community is not None and row.community != community):
            raise PilotNotFound(pilot)
        return row

    def _view(self, row: PilotRow) -> PilotView:
        return pilot_view(
            row,
            self._pilots.find(row.pilot),
            self._leases.of_pilot(row.pilot),
            parked=self._moves.parked_ask(row.pilot) > 0,
            now=self._clock.monotonic(),
        )


def _check_protocol(version: str) -> None:
    if not serves(version):
        raise Refused(
            Code.OLD_PROTOCOL,
            f"this central does not serve protocol {version}, but {PROTOCOL}: start a newer pilot",
            field="protocol",
        )
