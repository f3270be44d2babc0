"""People who run a CWL document in a simulated world, and what they were promised of it.

The evaluator is the shipped one, in this process. It ends with its central, and at times before.
"""

import asyncio
import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pilotage.central.client.errors import IllegalState
from pilotage.central.cwl.messages import Advance, Answer, Call, Shape
from pilotage.central.cwl_runs.evaluator_link import EvaluatorEnded
from pilotage.central.http.app import HttpApp
from pilotage.central.settings import QuotaSettings
from pilotage.central.store import audit
from pilotage.pilot.ports import NoReply
from pilotage.proto.api.productions import (
    CwlOutputs,
    NewProduction,
    ProductionActionName,
    ProductionDetail,
)
from pilotage.proto.documents.cwl import CwlDocument
from pilotage.proto.documents.job import Job
from pilotage.proto.messages import Assignment
from pilotage.proto.production_states import ProductionState
from tests.fake_evaluator import EvaluatorHere, plays_tools, spec_of
from tests.fake_pilot import Script
from tests.integration.line.test_cwl_reuse import corrected
from tests.integration.line.test_cwl_runs import TOOL, TOOL_SHA256, WORDS, document
from tests.memory_store import MemoryStore

from .processes import HERE
from .story import AGAIN_S, ENDS_WITHIN_S, REQUEST_S, Story
from .violation import Violation

if TYPE_CHECKING:
    from .world import World

NAME: Final = "run"
FAULTS_S: Final = 300.0
ANSWER_S: Final = 0.02  # of the evaluator
FORGETS, ENDS = 0.04, 0.04  # of all calls to it
TROUBLES_MAX: Final = 2  # in a row: a third one would fail the run
CORRECTS_S: Final = 40.0  # until people try it again
LOOKS_S: Final = 15.0
TOOL_S: Final = (2.0, 60.0)
AIMED_AT: Final = frozenset(
    {"make_tasks", "reuse_tasks", "take_results", "end_run", "correct_production"}
)
AIMS: Final = (0.0, 0.1, 0.3)  # how often the central is killed at one of these
# A full node fails its jobs, and so the run. A clock that jumps by days does, too: it ends tokens.
FAILS_JOBS: Final = frozenset({"nodes_full", "wall_jumps"})


class EvaluatorOfLife:
    """The evaluator of one life of a central. It ends at times, within a call or between two."""

    def __init__(self, world: "World", chance: random.Random) -> None:
        self._world, self._chance, self._in_a_row = world, chance, 0
        self._here = EvaluatorHere()

    async def ask(self, call: Call) -> Answer:
        world, process = self._world, HERE.get()
        assert process is not None
        world.point(process, "before the evaluator is asked")
        await asyncio.sleep(ANSWER_S)
        drawn = 1.0 if world.is_calm else self._chance.random()
        if drawn < FORGETS + ENDS and self._in_a_row < TROUBLES_MAX:
            self._in_a_row += 1
            self._here.forget()
            if drawn < ENDS:
                world.say("the evaluator ends")
                raise EvaluatorEnded("the simulation says so")
        if isinstance(call, Advance) and not call.more:
            self._in_a_row = 0
        answer = await self._answer(call)
        world.point(process, "after an answer of the evaluator")
        return answer

    async def _answer(self, call: Call) -> Answer:
        """Ask, but for a shape that is known: a world asks for it again and again."""
        if not isinstance(call, Shape):
            return await self._here.ask(call)
        text = msgspec.json.encode(call)
        if text not in _SHAPES:
            _SHAPES[text] = await self._here.ask(call)
        return _SHAPES[text]


_SHAPES: dict[bytes, Answer] = {}


class CwlStory(Story):
    """People run a document. In half of the worlds they correct it: while it runs, or later."""

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._chance = chance = random.Random(f"run of world {world.seed}")
        self.words = ["a", "b", "c", "d"][: chance.randint(1, 4)]
        self.corrects = chance.choice(("", "", "while it runs", "at a pause", "at its end"))
        self.ended: CwlOutputs | None = None

    # -- what people do ---------------------------------------------------------------------------

    async def _submit_all(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.0, 30.0))
        await self._add(document(WORDS, words=self.words))
        if not self.corrects:
            return
        if self.corrects == "at its end":
            await self._until_ended()
        else:
            await asyncio.sleep(self._chance.uniform(0.0, 150.0))
        if self.corrects == "at a pause":
            await self._say(ProductionActionName.PAUSE)
        await self._add(document(corrected(WORDS), words=self.words), correct=True)

    async def _add(self, doc: CwlDocument, *, correct: bool = False) -> None:
        """Upload what a run needs and add it, until it is there: the same is never added twice."""
        body = NewProduction(cwl=doc, name=NAME, correct=correct)

        async def ask() -> ProductionDetail:
            await self._upload()
            return await self.client.add_production(body)

        while True:
            try:
                made = await self.answered(ask, gives_up=IllegalState)
                break
            except IllegalState:  # its jobs run
                await asyncio.sleep(CORRECTS_S)
        self._world.say(f"production {made.view.id} is {'corrected' if correct else 'added'}")
        if made.view.id != 1:
            raise Violation("one row per key", f"production {made.view.id}, and there is one")

    async def _upload(self) -> None:
        world = self._world
        while True:
            try:
                reply = await world.network.request(
                    world.user,
                    world.central.host,
                    method="PUT",
                    path=f"/v1/blobs/{TOOL_SHA256}",
                    body=TOOL,
                    token=world.central.admin_token(),
                    timeout_s=REQUEST_S,
                )
            except NoReply:
                reply = None
            if reply is not None and reply.status < 300:
                return
            await asyncio.sleep(AGAIN_S)

    async def _say(self, action: ProductionActionName) -> None:
        try:
            await self.answered(
                lambda: self.client.act_on_production(NAME, action), gives_up=IllegalState
            )
        except IllegalState:
            pass  # it has ended, or a lost answer was that it is done

    # -- the end ----------------------------------------------------------------------------------

    async def _until_ended(self) -> CwlOutputs:
        world = self._world
        until = world.loop.now + FAULTS_S + ENDS_WITHIN_S
        while world.loop.now < until:
            found = await self.answered(lambda: self.client.production_outputs(NAME))
            if found.status:
                world.say(f"the run ends: {found.status} {found.why}")
                return found
            view = (await self.answered(lambda: self.client.production(NAME))).view
            if (
                view.state is ProductionState.PAUSED
            ):  # by people, or by a late copy of what they said
                await self._say(ProductionActionName.RESUME)
            await asyncio.sleep(LOOKS_S)
        raise Violation("run", "it does not end")

    async def _until_all_end(self) -> None:
        self.ended = await self._until_ended()
        self.submitted["of the run"] = sorted(
            row[0] for row in self._world.central.disk.rows.by_hand("SELECT job_id FROM body")
        )
        await super()._until_all_end()
        await self._until_completed()
        self._check(self.ended)

    async def _until_completed(self) -> None:
        for _ in range(60):
            view = (await self.answered(lambda: self.client.production(NAME))).view
            if view.state is ProductionState.COMPLETED:
                return
            await asyncio.sleep(AGAIN_S)
        raise Violation("run", f"it has ended, and the production is {view.state.value}")

    def _check(self, found: CwlOutputs) -> None:
        """Each tool was one job, whatever has died; the store is as it should be."""
        rows = self._world.central.disk.rows
        suffix = "better" if self.corrects else "again"
        text = " ".join(f"{word}-{suffix}" for word in self.words)
        if (found.status, found.outputs.get("all")) != ("success", text):
            raise Violation("run", f"{found.status} {found.why!r}: {found.outputs}, not {text}")
        made = said(rows)
        wanted = Counter([*self.words, *(f"{word}-{suffix}" for word in self.words)])
        before = {f"{word}-again" for word in self.words} if self.corrects else set[str]()
        if +Counter({one: n for one, n in made.items() if one not in before}) != wanted:
            raise Violation("one job per tool", f"{made}, not {wanted}")
        if any(made[one] > 1 for one in before):
            raise Violation("one job per tool", f"{made}: before the correction, too")
        if self.corrects == "at its end" and not made.keys() >= before:
            raise Violation("one job per tool", f"{made}: it has ended before the correction")
        left = rows.by_hand("SELECT task_id FROM task WHERE state = 'Created'")
        if left:
            raise Violation("tasks", f"{[row[0] for row in left]} are Created after the end")
        if rows.by_hand("SELECT key FROM cwl_job"):
            raise Violation("tasks", "the run has ended, and its jobs have keys")
        copy = MemoryStore(data=rows.connection.serialize())
        wrong = {about: its for about, its in audit.differences(copy.session) if its}
        if wrong:
            raise Violation("store", str(wrong))


def said(rows: Any) -> Counter[str]:
    """Count the jobs of a store by what their tools say."""
    bodies = rows.by_hand("SELECT body FROM body ORDER BY job_id")
    jobs = (msgspec.json.decode(row[0], type=Job) for row in bodies)
    return Counter(" ".join(spec_of(one.command)["argv"][1:]) for one in jobs)


def with_run(world: "World") -> None:
    """Let people run a document in a world, instead of jobs. For `prepare` of `run`."""
    chance = random.Random(f"evaluators of world {world.seed}")

    def plays(assignment: Assignment) -> Script:
        drawn = random.Random(f"{world.seed} {assignment.job} {assignment.epoch}")
        return replace(plays_tools(assignment), duration_s=drawn.uniform(*TOOL_S))

    world.story = CwlStory(world)
    world.plays, world.faults_s = plays, FAULTS_S
    world.swarm = replace(world.swarm, faults=world.swarm.faults - FAILS_JOBS, long_job=False)
    # Bytes do not bind: a tool whose outputs have no room fails, and the run with it.
    world.quota = QuotaSettings(owner_jobs=world.quota.owner_jobs)
    fronts: list[HttpApp] = []
    for member in world.central.members:
        member.fronts = fronts
    for host in world.central.hosts:
        lease = msgspec.structs.replace(host.settings.lease, lost_max=1_000, matched_max=10_000)
        host.settings = msgspec.structs.replace(host.settings, lease=lease, quota=world.quota)
    disk, aim = world.central.disk, chance.choice(AIMS)
    plain = disk.committed

    def committed(verb: str, args: tuple[Any, ...], result: Any) -> None:
        plain(verb, args, result)
        if verb in AIMED_AT and not world.is_calm and chance.random() < aim:
            process = world.central.process
            if process is not None and not process.dead:
                world.say(f"aimed: the central is killed at {verb}")
                process.fuse = chance.randint(0, 12)

    disk.committed = committed
    world.central.evaluator = lambda: EvaluatorOfLife(world, chance)
