"""The matcher behind a whole central: asks and ends of many pilots over HTTP, all durable."""

import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import msgspec

from pilotage.matcher.platforms import ANY
from pilotage.proto.api.pilots import SecretRequest
from pilotage.proto.messages import (
    Ask,
    Assignment,
    How,
    Node,
    Offer,
    Register,
    Registered,
    Report,
    Turn,
    TurnReply,
    What,
)

from ..figures import Figure, figure, percentile
from ..rig import Rig, Sender, rig
from ..waiting import lhcb
from .loads import BULK_JOBS, Load, production

SERVED_JOBS: Final = 100_000
SECONDS: Final = 8.0
A_SITE: Final = 4  # pilots at each site
CORES: Final = 8
SENDERS: Final = 4  # that wait for an answer at a time


def run(jobs: int = SERVED_JOBS) -> list[Figure]:
    """Let pilots ask for eight jobs, end them, and ask again, as fast as the central answers."""
    load = production(jobs)
    with rig({"bus.broker": "none"}) as bench:
        _submit(bench, load)
        pilots = _pilots(bench)
        began = time.perf_counter()
        with ThreadPoolExecutor(SENDERS) as senders:
            parts = [pilots[at::SENDERS] for at in range(SENDERS)]
            ends = list(senders.map(_work, parts, [began + SECONDS] * SENDERS))
    asked_ms = [took for pilot in pilots for took in pilot.asked_ms]
    rate = sum(pilot.ended for pilot in pilots) / (max(ends) - began)
    return [
        figure("matcher", "over HTTP: jobs matched and ended", rate, "jobs/s"),
        figure("matcher", "over HTTP: an ask for 8 jobs, p50", percentile(asked_ms, 0.5), "ms"),
        figure("matcher", "over HTTP: an ask for 8 jobs, p99", percentile(asked_ms, 0.99), "ms"),
    ]


def _submit(bench: Rig, load: Load) -> None:
    """Submit all, a submission for each bulk."""
    sender = bench.sender()
    needs = {spec.class_id: (spec.needs, spec.type) for spec in load.specs}
    parameters = [{"n": n} for n in range(BULK_JOBS)]
    for class_id, _, jobs in load.bulks:
        need, kind = needs[class_id]
        body = {
            "key": uuid.uuid4().hex,
            "template": {"command": ["run", "{n}"], "type": kind, "needs": need},
            "parameters": parameters[: len(jobs)],
        }
        sender.post("/v1/submissions", msgspec.json.encode(body))


def _pilots(bench: Rig) -> list["_Pilot"]:
    """Register pilots at all sites, on nodes that run most of the jobs."""
    pilots: list[_Pilot] = []
    for site in lhcb().sites:
        node = Node(host=f"node.{site}", os=ANY, architecture_level=3)
        made = bench.client.secrets(SecretRequest(site=site, count=A_SITE))
        for one in made.secrets:
            body = Register(secret=one.secret, nonce=uuid.uuid4().hex, node=node)
            known = msgspec.json.decode(
                bench.sender().post("/v1/pilots/register", msgspec.json.encode(body)),
                type=Registered,
            )
            pilots.append(_Pilot(Sender(bench.central.url, known.token), known, node))
    return pilots


def _work(pilots: Sequence["_Pilot"], until: float) -> float:
    """Let pilots take turns until the time is over or nobody gets a job; return the last's end."""
    end, idle = time.perf_counter(), 0
    for at in count():
        if end > until or idle == len(pilots):
            break
        if pilots[at % len(pilots)].turn(900_000.0 - at):
            end, idle = time.perf_counter(), 0
        else:
            idle += 1
    return end


@dataclass
class _Pilot:
    """Speaks as a pilot does, and runs nothing."""

    sender: Sender
    known: Registered
    node: Node
    asks: int = 0
    ended: int = 0
    asked_ms: list[float] = field(default_factory=list[float])

    def turn(self, wall_left_s: float) -> int:
        """Ask for jobs, report that they have ended, and return how many there were."""
        self.asks += 1
        offer = Offer(
            cores=CORES,
            cores_free=CORES,
            memory_mb=2_000 * CORES,
            memory_free_mb=2_000 * CORES,
            wall_left_s=wall_left_s,
            node=self.node,
        )
        began = time.perf_counter()
        reply = self._say("/v1/ask", ask=Ask(n=self.asks, offer=offer, jobs_max=CORES))
        self.asked_ms.append((time.perf_counter() - began) * 1_000)
        assert reply.ask is not None
        given = reply.ask.assignments
        if given:
            self._say("/v1/report", reports=tuple(map(_end, given)))
            self.ended += len(given)
        return len(given)

    def _say(
        self, path: str, *, ask: Ask | None = None, reports: tuple[Report, ...] = ()
    ) -> TurnReply:
        turn = Turn(gen=self.known.gen, session=self.known.session, ask=ask, reports=reports)
        found = self.sender.post(path, msgspec.json.encode(turn))
        return msgspec.json.decode(found, type=TurnReply)


def _end(given: Assignment) -> Report:
    return Report(
        job=given.job,
        epoch=given.epoch,
        attempt_id=given.attempt_id,
        n=1,
        what=What.ENDED,
        how=How.EXITED,
        exit_code=0,
    )
