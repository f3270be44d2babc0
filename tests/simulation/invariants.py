"""The promises of a pilotage, looked at while a simulated world runs.

At every commit: epochs grow by one, a round has one result, final states stay. At every moment when
nothing more can happen: no two payloads of a job. At some of these: memory is what a restart would
make of the store, every live attempt has a deadline, the counters are right, nothing failed.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pilotage.central.app.central import Central
from pilotage.central.identity.secret_hashes import hashed
from pilotage.central.jobs import record as job_records, record_search as job_search
from pilotage.central.jobs.leases import Lease, LeasePhase
from pilotage.central.jobs.record_types import (
    AttemptResult,
    JobMove,
    JobSearch,
    NewAttempt,
    Requeue,
)
from pilotage.central.pilots import record as pilot_records, record_logs as log_records
from pilotage.central.pilots.record_logs import LogSearch
from pilotage.central.pilots.record_types import PilotRow
from pilotage.matcher.queue.ledger import PAGE_BITS, PENDING, priority_of, state_of
from pilotage.pilot.ports import HttpReply
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.messages import Assignment
from tests.matcher.invariants import check

from . import quotas
from .store import step
from .violation import Violation

if TYPE_CHECKING:
    from .pilots import Life
    from .world import World

LEASES_EVERY_S = 15.0
DEAR_EVERY_S = 200.0  # what is compared with a rebuilt central
SETTLED_S = 60.0  # after the last fault
REQUEUE_MAX_S = 10.0
KILL_MAX_S = 2 * 40.0 + 15.0  # two beats, and the grace of a soft signal
LATE_MAX_S = 400.0  # deadlines move by the time for which the central was stopped
UNDER_WAY_S = 1.0  # a report that was judged before its pilot's double was found counts
WAYS_MAX = 12  # to a slow database and back, from such a report's judgement to its commit
DRAINS_WITHIN_S = 60.0  # what was decided before may be written so late
NODE_CORES = 4
OF_RUNS = "transformation:"  # so begin the keys of submissions that nobody sends
MANY = 1_000_000  # more rows than a world has
# Where a quota may refuse. Of no report, beat or ask.
QUOTA_PATHS = ("/v1/submissions", "/v1/blobs", "/v1/jobs/actions")
_REPLAY = re.compile("was used by two")
_SECRETS = re.compile(rb'"(?:token|renewal_secret|secret|password)":"([^"]{16,})"')


class Invariants:
    """Looks. Raises nothing itself: `world.broken` ends the world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._epochs: dict[int, int] = {}
        self._results: dict[tuple[int, int], int] = {}  # (job, round) → epoch
        self._lives: dict[tuple[str, int], int] = {}  # (pilot, journal) → newest life let in
        self._leases_at = self._dear_at = 0.0
        self._moment = ""  # of what others have taken in, as memory was compared
        self.secrets: set[bytes] = set()
        self.copied: set[str] = set()  # the bootstrap secrets of pilots whose journal two have
        # Pilots that have ended because two used their secret, and until when their results count.
        self.replayed: dict[str, float] = {}
        self.compared = 0
        world.network.heard = self._heard
        world.central.undone = self._undone
        world.pilots.stale = self._stale

    # -- at every commit --------------------------------------------------------------------------

    def committed(self, verb: str, args: tuple[Any, ...], result: Any) -> None:
        """A verb of the store has been carried out."""
        try:
            quotas.committed(verb, self._world.central.disk.rows, self._world.quota)
        except Violation as why:
            self._world.broken(why)
        if verb == "turn":
            self._changes(args[0], result[0])
            self._matches(args[1], result[1])
        elif verb == "move":
            for move, done in zip(args[0], result, strict=True):
                if done:
                    self._moved(move)
        elif verb == "settle":
            for one in result:
                if one.move is not None:
                    self._moved(one.move)
        elif verb == "hello":
            self._opened(args[1], result)
        elif verb == "move_pilot" and result and _REPLAY.search(args[4]):
            self._found(args[0])

    def _matches(self, attempts: list[NewAttempt], found: list[Any]) -> None:
        for attempt, body in zip(attempts, found, strict=True):
            if body is None:
                continue
            job, epoch = attempt.job_id, attempt.epoch
            told = self._world.story.drained.get(attempt.pilot)
            if told is not None and self._world.loop.now > told + DRAINS_WITHIN_S:
                self._broken("drain", f"job {job} for {attempt.pilot}, which was told to drain")
            self._world.say(f"job {job} epoch {epoch} matched to {attempt.pilot}")
            row = step(self._world.central.disk.rows.read(job_records.job, job))
            if row.class_id != attempt.class_id:
                self._broken("needs", f"job {job} is matched by needs that it no longer has")
            if epoch != self._epochs.get(job, 0) + 1:
                self._broken("epochs", f"job {job}: {epoch} after {self._epochs.get(job, 0)}")
            self._epochs[job] = epoch
            if epoch == 1:
                try:
                    self._world.graphs.matched(job)
                except Violation as why:
                    self._world.broken(why)

    def _changes(self, changes: list[Any], done: list[bool]) -> None:
        for change, written in zip(changes, done, strict=True):
            if written:
                self._world.say(f"{type(change).__name__} of job {change.job_id}")
            if written and isinstance(change, AttemptResult | Requeue):
                self._world.graphs.ended(change)
            if written and isinstance(change, AttemptResult):
                self._ended(change)
                if self._world.outages is not None:
                    self._world.outages.committed(change)

    def _ended(self, end: AttemptResult) -> None:
        job, rows = end.job_id, self._world.central.disk.rows
        if end.epoch != self._epochs.get(job):
            self._broken("results", f"job {job}: a result of epoch {end.epoch} counts")
        row = step(rows.read(job_records.job, job))
        if self._world.loop.now > self.replayed.get(row.pilot, math.inf):
            self._broken("results", f"job {job}: one of {row.pilot}, which two speak for")
        for run in self._world.pilots.truth.running.get(job, ()):
            if run.epoch == end.epoch and not run.unheld:
                self._broken("results", f"job {job}: one of epoch {end.epoch}, which still runs")
        if job in self._world.story.killed:
            self._broken("results", f"job {job}: a result after its kill was acknowledged")
        if end.new in FINAL:
            key = job, row.round
            if key in self._results:
                self._broken("results", f"job {job}: a second one in round {key[1]}")
            self._results[key] = end.epoch

    def _moved(self, move: JobMove) -> None:
        self._world.say(f"job {move.job_id}: {move.old.value} to {move.new.value}")
        self._world.graphs.ended(move)
        if move.old in FINAL and not move.new_round:
            self._broken("final states", f"job {move.job_id} leaves {move.old.value}")
        rounds = step(self._world.central.disk.rows.read(job_records.job, move.job_id)).round - 1
        if rounds > self._world.story.rescheduled[move.job_id]:
            self._broken("rounds", f"job {move.job_id} was opened again {rounds} times")

    def _found(self, pilot: str) -> None:
        """A pilot has ended because two used its secret: somebody must have a copy of it."""
        self._world.say(f"{pilot} is found to have a double")
        known = self._world.central.disk.rows.by_hand(
            "SELECT secret_hash FROM secret WHERE pilot = ?", pilot
        )
        if {row["secret_hash"] for row in known}.isdisjoint(map(hashed, self.copied)):
            self._broken("renewal", f"{pilot} has ended as if it were two, and it is one")
        way_s = max(self._world.central.disk.slow_s.values(), default=0.0)
        self.replayed[pilot] = self._world.loop.now + UNDER_WAY_S + WAYS_MAX * way_s

    def _opened(self, nonce: str, row: PilotRow) -> None:
        """A session is open: no later life from the same journal may have been let in before."""
        life = self._world.pilots.said_by.get(nonce)
        if life is None:
            return  # a thief has said it
        key = row.pilot, id(life.node.journal)
        newest = self._lives.setdefault(key, life.number)
        if row.nonce == nonce and life.number < newest:
            self._broken("sessions", f"{row.pilot}: life {life.number} ends life {newest}")
        if row.nonce == nonce:
            self._lives[key] = max(newest, life.number)

    def _undone(self) -> None:
        """The power has gone: what was committed and not synced has never been."""
        self._lives.clear()
        rows = self._world.central.disk.rows
        self.replayed = {
            pilot: until
            for pilot, until in self.replayed.items()
            if _REPLAY.search(step(rows.read(pilot_records.pilot, pilot)).reason)
        }
        self._epochs = {job: len(epochs) for job, epochs in self._stored_epochs().items()}
        found = step(rows.read(job_records.jobs, [job for job, _ in self._results]))
        for job, number in list(self._results):
            row = found.get(job)
            if row is None or (row.round == number and row.state not in FINAL):
                del self._results[job, number]

    # -- when a payload starts --------------------------------------------------------------------

    def started(self, life: "Life", assignment: Assignment) -> None:
        """A guard starts a payload: it must fit the node beside what runs there."""
        used = sum(one.assignment.grant.cores for one in life.guard.mine.values())
        if used + assignment.grant.cores > NODE_CORES:
            self._broken("capacity", f"{life.pilot.name}: {used} + {assignment.grant.cores} cores")

    def _stale(self, facts: Mapping[str, object]) -> None:
        """A pilot drops an attempt: only because a new one has begun, or nothing of it counts."""
        attempts = step(
            self._world.central.disk.rows.read(job_records.attempts, int(str(facts["job"])))
        )
        last = attempts[-1] if attempts else None
        if last is not None and last.open and last.epoch == facts["epoch"]:
            self._broken("attempts", f"{facts} is dropped, and it is the job's last one")

    # -- when nothing more can happen at a moment -------------------------------------------------

    def quiet(self) -> None:
        """Look; the dear ones now and then."""
        world = self._world
        now, truth = world.loop.now, world.pilots.truth
        try:
            if truth.crowded:
                truth.look(now)
            if world.pilots.failures:
                raise Violation("failure", world.pilots.failures[0])
            if world.central.failures:
                raise Violation("failure", repr(world.central.failures[0]))
            if now >= self._leases_at and self._is_settled():
                self._leases_at = now + LEASES_EVERY_S
                self._cheap()
                moment = world.central.disk.moment
                if now >= self._dear_at or moment != self._moment:
                    self._dear_at, self._moment = now + DEAR_EVERY_S, moment
                    self.compare()
        except Violation as why:
            world.broken(why)
        except AssertionError as why:
            world.broken(Violation("matcher", str(why)))

    def _is_settled(self) -> bool:
        """Whether memory has followed the store."""
        central = self._world.central
        if not central.is_up or central.process is None:
            return False
        if central.store.busy or central.store.is_broken:
            return False
        if central.store.seen != central.disk.moment:
            return False
        return not central.process.halted and not central.process.put_aside

    def _cheap(self) -> None:
        central = self._world.central.central
        assert central is not None
        memory, now = central.memory, self._world.central.clock.monotonic()
        live = {lease.job: lease for lease in memory.leases.live()}
        for job, lease in live.items():
            latest = now + self._world.swarm.lease_s + LATE_MAX_S
            if not lease.deadline or lease.deadline > latest:
                raise Violation("deadlines", f"job {job}: {lease.deadline - now:.1f} s from now")
            if self._world.calm_s() > SETTLED_S and lease.deadline < now - REQUEUE_MAX_S:
                raise Violation("requeue", f"job {job}: its lease has been over for long")
        self._kills()
        out = memory.queue.matcher.attempts.by_job
        counted = {job for job, its in out.items() if its.is_running}
        if live.keys() != counted:
            raise Violation("limits", f"{sorted(live)} have leases, {sorted(counted)} are counted")
        rows = {
            row.job_id
            for row in step(self._world.central.disk.rows.read(job_records.live_attempts))
            if row.live
        }
        if live.keys() != rows:
            raise Violation("deadlines", f"{sorted(rows)} are active, {sorted(live)} have leases")

    def _kills(self) -> None:
        """Where nothing is broken any more a kill has reached its payload within two beats."""
        world = self._world
        for job, since in world.story.killed.items():
            if min(world.calm_s(), world.loop.now - since) > SETTLED_S + KILL_MAX_S:
                if job in world.pilots.truth.running:
                    raise Violation("kill", f"job {job} was killed and still computes")

    def compare(self) -> None:
        """Memory is what a restart would make of the store."""
        world = self._world
        central = world.central.central
        assert central is not None
        check(central.memory.queue.matcher)
        again = step(world.central.shadow())
        ours, rebuilt = picture(central), picture(again)
        self.compared += 1
        world.graphs.compare(central, again, ours["waiting"])
        for name, mine in ours.items():
            if mine != rebuilt[name]:
                raise Violation(name, f"memory has {mine}, the store gives {rebuilt[name]}")
        self._stored()

    def _stored(self) -> None:
        """What was acknowledged is there, and nothing else."""
        world = self._world
        rows = world.central.disk.rows
        every = JobSearch(include_deleted=True)
        stored = {
            job.job_id: job
            for job in step(rows.read(job_search.search, every, after=0, limit=MANY))
        }
        missing = [job for job in world.story.jobs if job not in stored]
        if missing:
            raise Violation("acknowledged", f"jobs {missing} are not stored")
        keys = Counter(row["key"] for row in rows.by_hand("SELECT key FROM submission"))
        people = {key for key in keys if not key.startswith(OF_RUNS)}
        if any(count > 1 for count in keys.values()) or not people <= world.story.tried:
            raise Violation("one row per key", str(keys))
        all_epochs = self._stored_epochs()
        for job, row in stored.items():
            epochs = all_epochs[job]
            if epochs != list(range(1, len(epochs) + 1)):
                raise Violation("epochs", f"job {job}: {epochs}")
            if job in world.story.killed and row.state is JobState.DONE:
                raise Violation("kill", f"job {job} was killed and is Done")

    def _stored_epochs(self) -> defaultdict[int, list[int]]:
        """Return the epochs of the attempts of each job."""
        found: defaultdict[int, list[int]] = defaultdict(list)
        for job, epoch in self._world.central.disk.rows.by_hand(
            "SELECT job_id, epoch FROM attempt ORDER BY job_id, attempt_id"
        ):
            found[job].append(epoch)
        return found

    # -- at the end -------------------------------------------------------------------------------

    def at_the_end(self) -> None:
        """All jobs have ended. Raises Violation."""
        world = self._world
        self.compare()
        rows = world.central.disk.rows
        for job, row in step(rows.read(job_records.jobs, list(world.story.jobs))).items():
            if job in world.story.killed and row.state is not JobState.KILLED:
                raise Violation("kill", f"job {job} was killed and is {row.state.value}")
            result = self._results.get((job, row.round))
            if row.state in (JobState.DONE, JobState.FAILED) and result is None:
                raise Violation("results", f"job {job} is {row.state.value} without a result")
            for attempt in (
                step(rows.read(job_records.attempts, job)) if row.state is JobState.DONE else ()
            ):
                for output in attempt.outputs:
                    if output.sha256 not in world.central.blobs.blobs:
                        raise Violation("outputs", f"job {job}: {output.name} is not stored")
        self._logs_are_true()
        self._no_secret_is_out()

    def _logs_are_true(self) -> None:
        """Each line of a pilot's log is kept once, and is about an attempt of its own, or none."""
        rows = self._world.central.disk.rows
        last: dict[str, int] = {}
        own = {
            (attempt["job_id"], attempt["epoch"], attempt["pilot"])
            for attempt in rows.by_hand("SELECT job_id, epoch, pilot FROM attempt")
        }
        for parcel in step(rows.read(log_records.pilot_log, LogSearch(), after=0, limit=MANY)):
            pilot = parcel.source.pilot
            for line in parcel.lines:
                if line.n <= last.get(pilot, 0):
                    raise Violation("logs", f"line {line.n} of {pilot} is kept twice")
                last[pilot] = line.n
                if line.job and (line.job, line.epoch, pilot) not in own:
                    raise Violation("logs", f"{pilot} writes about job {line.job}, not its own")

    def _heard(self, path: str, reply: HttpReply) -> None:
        if b'"over_quota"' in reply.body and not path.startswith(QUOTA_PATHS):
            self._broken("quotas", f"{path} was refused: {reply.body[:200]!r}")
        if reply.body and b"token" in reply.body or b"secret" in reply.body:
            self.secrets.update(_SECRETS.findall(reply.body))

    def _no_secret_is_out(self) -> None:
        """No secret stands in a log, an event, a message of the bus or a column of the store."""
        world = self._world
        said = "\n".join(
            [*world.trace, *map(repr, world.central.log), *map(repr, world.pilots.log)]
        ).encode()
        rows = world.central.disk.rows
        logs = repr(
            step(rows.read(log_records.pilot_log, LogSearch(), after=0, limit=MANY))
        ).encode()  # packed
        columns = rows.connection.serialize() + logs
        messages = b"\n".join(world.broker.carried)
        for secret in self.secrets | {world.central.admin_token().encode()}:
            for where, text in (("logs", said), ("store", columns), ("bus", messages)):
                if secret in text:
                    raise Violation("secrets", f"{secret[:6]!r}… stands in the {where}")

    def _broken(self, kind: str, what: str) -> None:
        self._world.broken(Violation(kind, what))


def picture(central: Central) -> dict[str, Any]:
    """Return what a central has in memory, as far as the store says the same."""
    memory = central.memory
    matcher = memory.queue.matcher
    slots = {cls.slot: cls.spec.class_id for cls in matcher.backlog.classes.all()}
    waiting: dict[int, tuple[int, int, int]] = {}
    for number, page in matcher.backlog.ledger.pages.items():
        for place, mark in enumerate(page.marks):
            if mark and state_of(mark) != PENDING:
                job = (number << PAGE_BITS) + place
                its = slots[page.slots[place]], priority_of(mark), memory.queue.epoch(job)
                waiting[job] = its
    leases = sorted(_of(lease) for lease in memory.leases._by_job.values())
    out = matcher.attempts.by_job
    pilots = {
        one.pilot: (one.session, one.state.value, one.drain, one.told)
        for one in memory.pilots.all()
    }
    return {
        "waiting": waiting,
        "leases": leases,
        "running": sorted(job for job, its in out.items() if its.is_running),
        "charges": {job: its.grant.charged_cores for job, its in out.items() if its.is_running},
        "counters": Counter(
            {(*kind, site, state.value): n for kind, site, state, n in memory.counters.rows()}
        ),
        "queue times": dict(sorted(memory.queue._limits.items())),
        "pilots": dict(sorted(pilots.items())),
    }


def _of(lease: Lease) -> tuple[Any, ...]:
    live = lease.phase is LeasePhase.LIVE
    return (
        lease.job,
        lease.epoch,
        lease.attempt_id,
        lease.phase.value,
        lease.pilot,
        lease.session,
        lease.ask,
        lease.wanted.value if lease.wanted is not None and live else "",
        lease.started,
        lease.retries,
        lease.failures,
        lease.losses,
        lease.priority,
        lease.grant,
    )
