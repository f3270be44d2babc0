"""Bugs to be found: how each changes the shipped code, and what it stands for.

They live here alone. A bug replaces functions or settings of the product, or turns a switch of the
simulated world, for as long as `planted` lasts. The names up to `kill_final_now` are those of the
variants of the protocol's model, less the one that needs two leaders.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Generator
from types import SimpleNamespace
from typing import Any

import msgspec

from pilotage.central.dispatch import (
    control,
    follow_up,
    record as turns,
    recovery as recover,
    service as dispatch,
)
from pilotage.central.dispatch.dependencies import graph
from pilotage.central.dispatch.queue import JobQueue
from pilotage.central.dispatch.roll_call import RollCall
from pilotage.central.dispatch.turns import beats as central_beats, reports, requeues, turns as turn
from pilotage.central.identity import actions
from pilotage.central.jobs import record_submissions as submissions, verdicts
from pilotage.central.jobs.leases import Lease, LeasePhase
from pilotage.central.jobs.record_types import AttemptResult
from pilotage.central.pilots import presence, record as pilot_records, renewals, service as pilots
from pilotage.central.settings import LeaseSettings
from pilotage.central.store.errors import StoreFull
from pilotage.pilot.guard import held_payload as held
from pilotage.pilot.mind import brain, holdings, payloads
from pilotage.pilot.talk import renewal
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Ask, Attempt, What, Why
from pilotage.proto.pilot_states import PilotState

from .clocks import PilotClock
from .processes import HERE
from .world import World

Prepare = Callable[[World], None]
FOREVER = 10**12
LATE_S = 200.0  # a copy that a proxy has held
AIM_WITH_LEADERS = 0.8  # how often an aimed fault hits
REVIVE = "UPDATE job SET state = 'Waiting', ended_at = NULL WHERE job_id = ? AND state = 'Killed'"
NOT_WANTED = "UPDATE attempt SET wanted = NULL WHERE attempt_id = ?"


class Changes:
    """Replaces attributes, and puts them back."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        self._before.append((owner, name, owner.__dict__[name]))
        setattr(owner, name, value)

    def undo(self) -> None:
        for owner, name, value in reversed(self._before):
            setattr(owner, name, value)


Plant = Callable[[Changes], Prepare | None]


@dataclasses.dataclass(frozen=True)
class Planted:
    """One bug."""

    says: str
    plant: Plant

    @contextlib.contextmanager
    def planted(self) -> Generator[Prepare]:
        """While this lasts the bug is there; what is yielded prepares each world for it."""
        changes = Changes()
        try:
            yield self.plant(changes) or nothing
        finally:
            changes.undo()


def nothing(world: World) -> None:
    """No bug, no preparation."""


@contextlib.contextmanager
def planted(name: str) -> Generator[Prepare]:
    """Plant a bug by its name; the empty name is none."""
    if not name:
        yield nothing
        return
    from .planted_leaders import LEADING
    from .planted_outages import AWAY

    with (PLANTED | LEADING | AWAY)[name].planted() as prepare:
        yield prepare


def _class_forgotten(changes: Changes) -> None:
    def set_class(self: Any, job: int, class_id: int, priority: int) -> None:
        pass

    changes.set(JobQueue, "set_class", set_class)


# -- the pilot ------------------------------------------------------------------------------------


def _retry_counts(changes: Changes) -> None:
    plain = brain.Brain._ask

    def ask(self: Any, now: float) -> Ask | None:
        if self._asks.open is not None:
            self._asks.open = dataclasses.replace(self._asks.open, first_sent=now)
        return plain(self, now)

    changes.set(brain.Brain, "_ask", ask)


def _no_ask_key(changes: Changes) -> None:
    plain_ask, plain_take = brain.Brain._ask, central_beats.BeatService.take

    def ask(self: Any, now: float) -> Ask | None:
        asked = self._asks.open
        if asked is not None and now > asked.first_sent:
            again = dataclasses.replace(asked.ask, n=asked.ask.n + 1)
            self._asks.open = dataclasses.replace(asked, ask=again, first_sent=now)
        return plain_ask(self, now)

    async def take(self: Any, presence: Any, beat: Any) -> Any:
        for lease in self._leases.of_pilot(presence.pilot):
            if lease.phase is LeasePhase.LIVE:
                self._renew(lease)
        return await plain_take(self, presence, beat)

    async def give_back(self: Any, *args: Any, **named: Any) -> None:
        pass

    changes.set(brain.Brain, "_ask", ask)
    changes.set(central_beats.BeatService, "take", take)
    changes.set(requeues.Requeues, "give_back", give_back)


def _one_last_ack(changes: Changes) -> None:
    plain_arrive = payloads.Payloads.arrive

    def renew(self: Any, listed: Any, stale: Any, sent: float) -> list[Any]:
        self.last = max(sent, getattr(self, "last", -math.inf))
        moved = [one for one in self.all() if sent + holdings.FENCE * one.lease_s > one.fence]
        for one in moved:
            one.fence = sent + holdings.FENCE * one.lease_s
        return moved

    def arrive(self: Any, assignment: Any, *, fence: float, **named: Any) -> bool:
        last = getattr(self._holdings, "last", -math.inf)
        fence = max(fence, last + holdings.FENCE * assignment.lease_s)
        return plain_arrive(self, assignment, fence=fence, **named)

    changes.set(holdings.HeldAttempts, "renew", renew)
    changes.set(payloads.Payloads, "arrive", arrive)
    changes.set(brain, "ASK_OPEN", 1e9)


def _late_start(changes: Changes) -> None:
    plain = brain.Brain._ask_answered

    def answered(self: Any, answer: Any, now: float) -> None:
        if self._asks.open is not None:
            self._asks.open = dataclasses.replace(self._asks.open, first_sent=now)
        plain(self, answer, now)

    changes.set(brain.Brain, "_ask_answered", answered)
    changes.set(payloads, "FENCE_LEFT_MIN", -1e9)
    changes.set(brain, "ASK_OPEN", 1e9)


# -- the guard ------------------------------------------------------------------------------------


def _grace_30(changes: Changes) -> None:
    plain = held.due

    def due(one: held.GuardedPayload, now: float) -> str:
        action = plain(one, now)
        return "" if action == "freeze" and now < one.fence + 30.0 else action

    changes.set(held, "due", due)


def _no_guard(changes: Changes) -> Prepare:
    def prepare(world: World) -> None:
        world.pilots.guard_process = lambda life: life.pilot  # type: ignore[method-assign]

    return prepare


def _monotonic(changes: Changes) -> Prepare:
    def now(self: Any) -> float:
        return float(self._host.monotonic(self._loop.now))

    changes.set(PilotClock, "now", now)

    def prepare(world: World) -> None:
        world.pilots.guard_now = (  # type: ignore[method-assign]
            lambda host: host.monotonic(world.loop.now)
        )

    return prepare


# -- the central ----------------------------------------------------------------------------------


def _give_back_unheld(changes: Changes) -> None:
    plain = requeues.Requeues.give_back

    async def give_back(self: Any, presence: Any, known: Any, *, asked_before: int) -> None:
        await plain(self, presence, known, asked_before=FOREVER)

    changes.set(requeues.Requeues, "give_back", give_back)


def _will_is_death(changes: Changes) -> None:
    plain = pilots.PilotService.willed

    def willed(self: Any, caller: Any) -> None:
        plain(self, caller)
        presence = self._pilots.find(caller.pilot)
        process = HERE.get()
        if presence is not None and process is not None:
            ends = _requeues(self, self._leases)
            process.start(ends.give_back(presence, set(), asked_before=FOREVER))

    changes.set(pilots.PilotService, "willed", willed)


def _requeues(service: Any, leases: Any) -> requeues.Requeues:
    return requeues.Requeues(
        store=service._store,
        memory=SimpleNamespace(queue=service._queue, leases=leases),  # type: ignore[arg-type]
        follow_up=service._follow_up,
        clock=service._clock,
        settings=LeaseSettings(),
    )


def _at_once(changes: Changes, whys: frozenset[Why], *, close: bool) -> None:
    """What is wanted of an active attempt moves its job at once."""
    plain = control.JobControl._wanted

    async def wanted(self: Any, wants: Any, book: Any) -> None:
        await plain(self, wants, book)
        leases = self._follow_up._leases
        ends = _requeues(self, leases)
        for want in wants:
            lease: Lease | None = leases.of_job(want.job_id)
            if want.wanted in whys and lease is not None and lease.phase is LeasePhase.LIVE:
                over = verdicts.lease_over(lease, at=want.at, silent_s=0.0, limits=ends._losses)
                await ends._write([(lease, msgspec.structs.replace(over, close=close))])
                lease.wanted = lease.wanted if close else None

    changes.set(control.JobControl, "_wanted", wanted)


def _resched_now(changes: Changes) -> None:
    _at_once(changes, frozenset({Why.RESCHEDULE, Why.HOLD}), close=True)


def _kill_final_now(changes: Changes) -> None:
    _at_once(changes, frozenset({Why.KILL}), close=False)
    plain = turns.__dict__["change"]

    def change(session: Any, some: Any) -> Any:
        for one in some:
            if isinstance(one, AttemptResult):
                killed = session.connection.execute(REVIVE, (one.job_id,))
                if killed.rowcount:
                    session.connection.execute(NOT_WANTED, (one.attempt_id,))
        return plain(session, some)

    changes.set(turns, "change", change)


def _bind_at_wake(changes: Changes) -> Prepare:
    """The pilot's fence counts from an ask that comes after the match: it ends after the lease.

    This only hurts if the pilot is cut off as it starts the payload. With two leaders the lease
    begins again at each take-over, which hides the bug: there, pilots are often cut off.
    """

    def built(central: Any) -> None:
        queue, found = central.memory.queue, central.memory.pilots
        turns = central.services.dispatch._turns
        leases = central.memory.leases

        async def bind(presence: Any, n: int) -> None:
            held_now = tuple(Attempt(one.job, one.epoch) for one in leases.of_pilot(presence.pilot))
            ask = Ask(n=n + 1, offer=presence.offer, holding=held_now)
            matched = await turns._asks.match(presence, ask, ())
            held = await turns._write(presence, (), matched.jobs, asked=ask.n)
            made = await turns._assignments.made(held)
            turns._asks.answer(presence, ask, matched, made)
            queue._outbound.wake(presence.community, presence.pilot, n, 1)

        def wake() -> None:
            process = HERE.get()
            for parked in queue.matcher.wake(queue._clock.monotonic()):
                presence = found.find(parked.pilot)
                if presence is not None and process is not None and presence.ask == parked.ask:
                    presence.ask = parked.ask + 1
                    process.start(bind(presence, parked.ask))

        queue.wake = wake

    def prepare(world: World) -> None:
        world.central.built = built
        if world.leaders is not None:
            faults = world.swarm.faults | {"cut_at_start"}
            world.swarm = dataclasses.replace(world.swarm, faults=faults, aim=AIM_WITH_LEADERS)

    return prepare


def _no_ask_again(changes: Changes) -> None:
    def should_ask(self: Any, presence: Any, parked: int) -> bool:
        return False

    def reask_s(*args: Any) -> float:
        return 1e9

    async def run(self: Any) -> None:
        """Call nobody."""

    changes.set(dispatch.Dispatch, "_should_ask", should_ask)
    changes.set(brain, "reask_s", reask_s)
    changes.set(RollCall, "run", run)


def _bus_stop_only(changes: Changes) -> None:
    def stops(self: Any, presence: Any) -> list[Any]:
        return []

    changes.set(dispatch.Dispatch, "_stops", stops)


def _old_deadline(changes: Changes) -> None:
    plain = recover.MemoryRecovery._lease

    def lease(self: Any, row: Any) -> Lease:
        made = plain(self, row)
        made.deadline -= self._clock.wall() - row.matched_at
        return made

    changes.set(recover.MemoryRecovery, "_lease", lease)


def _free_memory(changes: Changes) -> None:
    plain = recover.MemoryRecovery._lease

    def lease(self: Any, row: Any) -> Lease:
        grant = msgspec.structs.replace(row.grant, charged_cores=float(row.grant.cores))
        return plain(self, msgspec.structs.replace(row, grant=grant))

    changes.set(recover.MemoryRecovery, "_lease", lease)


def _forget_on_fail(changes: Changes) -> None:
    plain = turn.Turns._write

    async def write(self: Any, presence: Any, judged: Any, matches: Any = (), **asked: Any) -> Any:
        try:
            return await plain(self, presence, judged, matches, **asked)
        except StoreFull:
            for match in matches:
                self._queue.matcher.remove(match.job)
            raise

    changes.set(turn.Turns, "_write", write)


def _drain_forgotten(changes: Changes) -> None:
    plain = presence.presence_of

    def presence_of(row: Any, *args: Any, **named: Any) -> Any:
        drains = row.state is PilotState.DRAINING
        return plain(msgspec.structs.replace(row, drain=drains, told=""), *args, **named)

    changes.set(recover, "presence_of", presence_of)
    changes.set(pilots, "presence_of", presence_of)


def _ack_before_sync(changes: Changes) -> Prepare:
    def prepare(world: World) -> None:
        world.central.disk.answers_early = True

    return prepare


def _no_epoch_check(changes: Changes) -> None:
    plain = reports.ReportJudge._lease_of

    def lease_of(self: Any, presence: Any, report: Any) -> Any:
        if report.what is not What.ENDED:
            return plain(self, presence, report)
        return self._leases.of_job(report.job)

    changes.set(reports.ReportJudge, "_lease_of", lease_of)


def _no_key(changes: Changes) -> None:
    plain = submissions.begin

    def begin(session: Any, new: Any) -> Any:
        """Open one under another key: the database itself refuses the same one."""
        record = plain(session, new)
        if record.repeated:
            return begin(session, msgspec.structs.replace(new, key=f"{new.key}'"))
        return record

    changes.set(submissions, "begin", begin)


def _no_action_key(changes: Changes) -> None:
    def action(session: Any, name: Any) -> None:
        return None

    changes.set(actions, "action", action)


def _lease_from_first_beat(changes: Changes) -> None:
    plain = follow_up.FollowUp.begun

    def begun(self: Any, held: Any) -> None:
        plain(self, held)
        for lease, _ in held:
            lease.deadline = math.inf

    def renew(self: Any, lease: Lease) -> None:
        now = self._clock.monotonic()
        known = 0.0 if lease.deadline == math.inf else lease.deadline
        lease.deadline, lease.renewed = max(known, now + lease.lease_s), now

    changes.set(follow_up.FollowUp, "begun", begun)
    changes.set(central_beats.BeatService, "_renew", renew)


def _limits_from_waiting(changes: Changes) -> None:
    plain = recover.MemoryRecovery._attempts_again

    def not_counted(*args: Any, **named: Any) -> None:
        pass

    async def again(self: Any) -> None:
        queue = self._queue
        queue.running = not_counted
        try:
            await plain(self)
        finally:
            del queue.running

    changes.set(recover.MemoryRecovery, "_attempts_again", again)


def _beat_while_settling(changes: Changes) -> None:
    plain = central_beats.BeatService.take

    async def take(self: Any, presence: Any, beat: Any) -> Any:
        settling = [one for one in self._leases.of_pilot(presence.pilot) if one.settling]
        kept = [(one, one.settling) for one in settling]
        for one in settling:
            one.settling = None
        try:
            taking = plain(self, presence, beat)
            return await taking
        finally:
            for one, how in kept:
                one.settling = how if one.phase is LeasePhase.LIVE else None

    changes.set(central_beats.BeatService, "take", take)


def _same_session(changes: Changes) -> None:
    def hello(session: Any, pilot: str, nonce: str, number: int = 0) -> Any:
        row = pilot_records.pilot(session, pilot)
        assert row is not None
        return msgspec.structs.replace(row, nonce=nonce)

    changes.set(pilot_records, "hello", hello)


def _late_hello(changes: Changes) -> Prepare:
    """Copies that come so late are seldom: in worlds with this one each hello has one."""
    plain = pilot_records.hello

    def hello(session: Any, pilot: str, nonce: str, number: int = 0) -> Any:
        return plain(session, pilot, nonce)

    changes.set(pilot_records, "hello", hello)

    def prepare(world: World) -> None:
        world.network.late = lambda path: LATE_S if path == "/v1/pilots/hello" else 0.0

    return prepare


def _no_nonce_history(changes: Changes) -> Prepare:
    plain = renewals.judge

    def judge(row: Any, number: int, mark: str) -> renewals.NonceVerdict:
        said = plain(row, number, mark)
        return renewals.NonceVerdict.REPLAY if said is renewals.NonceVerdict.LATE else said

    changes.set(renewals, "judge", judge)

    def prepare(world: World) -> None:
        world.network.late = lambda path: LATE_S if path == "/v1/pilots/token" else 0.0

    return prepare


def _nonce_unkept(changes: Changes) -> None:
    def use(self: Any, *, unkept: bool = False) -> tuple[str, str]:
        who = self._who
        if not who.renewal_nonce:
            self._who = who = dataclasses.replace(who, renewal_nonce=self._random.token())
        return who.renewal_secret, who.renewal_nonce

    changes.set(renewal.Renewal, "use", use)


def _replay_requeues_now(changes: Changes) -> None:
    plain = renewals.Renewals._end

    async def end(self: Any, row: Any, number: int) -> None:
        try:
            await plain(self, row, number)
        finally:
            presence = SimpleNamespace(pilot=row.pilot, session=row.session)
            after = self._follow_up
            service = SimpleNamespace(
                _store=after._store, _queue=after._queue, _clock=after._clock, _follow_up=after
            )
            ends = _requeues(service, after._leases)
            await ends.give_back(presence, set(), asked_before=FOREVER)  # type: ignore[arg-type]

    changes.set(renewals.Renewals, "_end", end)


def _unread_is_done(changes: Changes) -> None:
    plain = graph._Parents.outcome

    def outcome(self: Any, when: Any) -> bool | None:
        known = self.counts
        self.counts = [0, *known[1:]]
        try:
            return plain(self, when)
        finally:
            self.counts = known

    changes.set(graph._Parents, "outcome", outcome)


def _ends_unheard(changes: Changes) -> None:
    plain = graph.DependencyGraph.heard

    def heard(self: Any, job: int, state: JobState) -> None:
        if state is not JobState.KILLED:
            plain(self, job, state)

    changes.set(graph.DependencyGraph, "heard", heard)


PLANTED: dict[str, Planted] = {
    "retry_counts": Planted("the fence counts from the last retry of the ask", _retry_counts),
    "no_ask_key": Planted("a repeated ask is a new one; a beat renews all of a pilot", _no_ask_key),
    "one_last_ack": Planted("one last answered beat for all attempts", _one_last_ack),
    "give_back_unheld": Planted(
        "what a beat does not list is given back, its ask closed or not", _give_back_unheld
    ),
    "will_is_death": Planted("a last will requeues at once", _will_is_death),
    "resched_now": Planted("reschedule and hold move a running job at once", _resched_now),
    "bind_at_wake": Planted("a job is bound to a parked pilot before it asks", _bind_at_wake),
    "grace_30": Planted("30 s of grace after the fence", _grace_30),
    "no_guard": Planted("the pilot process is the only fence", _no_guard),
    "monotonic": Planted("fences on a clock that stands while the node is suspended", _monotonic),
    "no_ask_again": Planted("nobody tells parked pilots to ask again", _no_ask_again),
    "bus_stop_only": Planted("a kill goes over the bus once", _bus_stop_only),
    "old_deadline": Planted("a restart keeps deadlines of the match", _old_deadline),
    "forget_on_fail": Planted("a match that cannot be written loses its job", _forget_on_fail),
    "late_start": Planted("an assignment starts however late it comes", _late_start),
    "kill_final_now": Planted("a kill is final at once, results count by epoch", _kill_final_now),
    "ack_before_sync": Planted("the store answers before it has synced", _ack_before_sync),
    "no_epoch_check": Planted("a result of any epoch counts", _no_epoch_check),
    "no_key": Planted("the same key makes the jobs again", _no_key),
    "no_action_key": Planted(
        "a late copy of an action, of which the first was answered, does it again", _no_action_key
    ),
    "lease_from_first_beat": Planted("a lease begins with the first beat", _lease_from_first_beat),
    "limits_from_waiting": Planted(
        "after a restart limits count from nothing", _limits_from_waiting
    ),
    "class_forgotten": Planted("a change of needs reaches the store alone", _class_forgotten),
    "free_memory": Planted("after a restart memory beside the cores is free", _free_memory),
    "beat_while_settling": Planted(
        "a beat is answered while the end of its lease is written", _beat_while_settling
    ),
    "same_session": Planted("a restarted pilot keeps its session", _same_session),
    "drain_forgotten": Planted(
        "a pilot that was lost and comes back forgets that it was to drain", _drain_forgotten
    ),
    "no_nonce_history": Planted(
        "a late copy of a request for a token is taken for a thief", _no_nonce_history
    ),
    "nonce_unkept": Planted(
        "the nonce of a renewal secret is not in the journal when it is sent", _nonce_unkept
    ),
    "replay_requeues_now": Planted(
        "the jobs of a pilot that two speak for wait again before their leases are over",
        _replay_requeues_now,
    ),
    "unread_is_done": Planted(
        "a parent whose state was not read yet counts as Done", _unread_is_done
    ),
    "ends_unheard": Planted("the kill of a job does not reach its children", _ends_unheard),
    "late_hello": Planted("a late copy of an older hello opens a session", _late_hello),
}
