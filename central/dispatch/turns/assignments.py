"""Makes the assignments for pilots, job by job: a job whose assignment fails, fails alone."""

from collections.abc import Sequence
from typing import Final, cast

import msgspec

from pilotage.matcher import types
from pilotage.proto.job_states import JobEvent, next_state
from pilotage.proto.messages import Body, How, Usage

from ...identity.pilot_tokens import AttemptTokens
from ...jobs.leases import Lease, LeasePhase, PendingEnd
from ...jobs.record_types import AttemptResult, JobBody
from ...jobs.verdicts import state_of
from ...observe.events import Log
from ...ports import Clock
from ...received_messages import altered
from ...sent_messages import Assignment, Grant
from ...store.engine import Store
from ...store.errors import StoreError
from .. import record as turn_records
from ..follow_up import FollowUp
from ..memory import Memory
from .checkpoints import CheckpointOrders
from .data_orders import ANSWER_BYTES_MAX, DataOrders
from .run_orders import Orders

TOKEN_MARGIN_S: Final = 4 * 3_600.0  # an attempt may pause for two hours and still upload outputs
REASON_MAX: Final = 500  # characters of an error

_NONE: Final[dict[str, int]] = {}
LeasedJob = tuple[Lease, JobBody]
Broken = tuple[Lease, str]


class Assignments:
    """Makes assignments of live attempts."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        follow_up: FollowUp,
        checkpoints: CheckpointOrders,
        data: DataOrders,
        tokens: AttemptTokens,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store, self._follow_up = store, follow_up
        self._queue, self._logs = memory.queue, memory.logs
        self._checkpoints, self._data, self._tokens = checkpoints, data, tokens
        self._clock, self._log = clock, log
        self._orders = Orders()

    async def made(self, held: Sequence[LeasedJob]) -> list[Assignment]:
        """Return the assignments of attempts that one pilot holds.

        A job whose assignment cannot be made, for whatever reason, fails. Otherwise its pilot,
        and each later one, would repeat its ask without end and never get the other jobs.
        """
        assigned: list[Assignment] = []
        broken: list[Broken] = []
        left = ANSWER_BYTES_MAX
        for lease, body in held:
            try:
                one = self._assignment(lease, body)
                if lease.checkpoint:
                    one = await self._checkpoints.given(lease, one)
                if lease.has_data:
                    one = altered(one, data=await self._data.of(lease))
                    if len(held) > 1:
                        left -= len(msgspec.json.encode(one.data))
            except StoreError:  # the pilot repeats its ask
                raise
            except Exception as why:
                broken.append((lease, f"{type(why).__name__}: {why}"[:REASON_MAX]))
                self._log("order_failed", job=lease.job, pilot=lease.pilot, error=repr(why))
                continue
            # If data do not fit into the answer, the attempt is omitted. The pilot's next ask
            # does not list it, so it is requeued then.
            if left >= 0 or not assigned or not lease.has_data:
                assigned.append(one)
        if broken:
            await self._fail(broken)
        return assigned

    def _assignment(self, lease: Lease, body: JobBody) -> Assignment:
        order = self._orders.order(lease.job, body, lease.kind.owner)
        lease.success_codes, lease.retry_codes = order.success_codes, order.retry_codes
        lease.checkpoint = order.checkpoint
        lease.has_data = order.has_data
        return Assignment(
            job=lease.job,
            epoch=lease.epoch,
            attempt_id=lease.attempt_id,
            lease_s=lease.lease_s,
            token=self._tokens.attempt_token(
                lease.job,
                lease.epoch,
                lease.attempt_id,
                lease.kind.community,
                lease.grant.wall_s + TOKEN_MARGIN_S,
            ),
            grant=_granted(lease.grant),
            body=cast(Body, order.body),  # the same on the wire
            follow=self._logs.followed(lease.job),
        )

    async def _fail(self, broken: Sequence[Broken]) -> None:
        """Fail jobs whose assignment cannot be made. They have not started."""
        at = self._clock.wall()
        pairs = [
            (lease, _as_failed(lease, why, at))
            for lease, why in broken
            if lease.phase is LeasePhase.LIVE and lease.settling is None
        ]
        if not pairs:
            return
        for lease, _ in pairs:
            lease.settling = PendingEnd.REQUEUE
        try:
            done = (
                await self._store.write(turn_records.turn, [change for _, change in pairs], [])
            )[0]
        finally:
            for lease, _ in pairs:
                lease.settling = None
        for (lease, change), written in zip(pairs, done, strict=True):
            if written:
                self._follow_up.of_change(lease, change)
        self._queue.wake()


def _granted(grant: types.Grant) -> Grant:
    """Return a grant as it is sent to a pilot."""
    amounts = dict(grant.amounts) if grant.amounts else _NONE
    return Grant(grant.cores, grant.memory_mb, grant.wall_s, grant.scratch_mb, grant.gpus, amounts)


def _as_failed(lease: Lease, why: str, at: float) -> AttemptResult:
    event = JobEvent.PAYLOAD_FAILED
    return AttemptResult(
        attempt_id=lease.attempt_id,
        job_id=lease.job,
        epoch=lease.epoch,
        new=next_state(state_of(lease), event),
        at=at,
        event=event.value,
        reason=f"the central cannot make an assignment of this job: {why}",
        failed=True,
        how=How.KILLED,  # by the central, so it does not count against the host
        exit_code=None,
        detail=why,
        isolation="",
        usage=Usage(),
        outputs=(),
        started_at=lease.started_at,
    )
