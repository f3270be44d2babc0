"""The loop that carries out runs of CWL documents: it takes results, and makes the next jobs.

The state of a run is a function of its document, its inputs and the results of its jobs. All of
these are in the store, so a run that was lost with its process is made again, and wants the same
jobs by the same keys.
"""

import asyncio
import contextlib
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from pilotage.proto.api.jdl import JdlRules
from pilotage.proto.documents.cwl import CwlDocument
from pilotage.proto.production_states import ProductionState

from ..cwl.messages import (
    Advance,
    Advanced,
    Answer,
    Begin,
    Broken,
    End,
    Ended,
    Needs,
    Noted,
    Unfit,
    Unknown,
    WantedJob,
)
from ..errors import Refused
from ..identity.errors import Banned
from ..jobs import record as job_records
from ..observe.events import Log
from ..ports import Blobs, Clock
from ..productions import record as production_records
from ..productions.definition import unpacked
from ..productions.record import CwlEnd
from ..store.engine import Store
from ..store.errors import OF_ALL, OverQuota, ReserveReached, StoreBroken, StoreError, StoreFull
from ..transformations import record as transformation_records
from ..transformations.record import MadeTask, TransformationRow
from ..transformations.reuse.known_results import KnownResults, recipe_of
from . import record as run_records
from .evaluator_link import Evaluates, EvaluatorEnded
from .jobs import (
    RUNS,
    JobFiles,
    Places,
    Unusable,
    files_of,
    job_of,
    keys_in,
    needed_keys,
    source_of,
)
from .results import WHY_MAX, JobResults, outputs_of
from .task_maker import NewRunJob, RunTaskMaker

LOOK_S: Final = 0.25  # between two looks at open runs
FULL_S: Final = 5.0  # pause while the store is full
ROOM_S: Final = 10.0  # pause of a run while a quota or the disk has no room, or its owner is banned
TAKEN: Final = 200  # results that are taken at once
PAGE: Final = 500  # stored results that are sent to the evaluator at once
CHUNK: Final = 200  # jobs of one transaction
CHUNK_BYTES: Final = 2 << 20
TRIES_MAX: Final = 3  # of one run that fail in a row, before the run is failed
PERMANENT: Final = "permanentFail"
A = TypeVar("A", bound=Answer)
STORES: Final = "output_paths"  # in a document that stores files in the catalogue


@dataclass
class _Run:
    """An open run."""

    production_id: int
    document: CwlDocument
    at: float
    group: str
    sha256: str  # of the definition
    reuses: bool  # results of earlier jobs
    steps: Mapping[str, int]  # their transformations
    begun: bool = False  # the evaluator knows it
    due: bool = True  # the evaluator is to be asked
    jobs: dict[str, int] = field(default_factory=dict[str, int])  # made ones, by key
    wanted: dict[str, WantedJob] = field(default_factory=dict[str, WantedJob])  # to be made
    contents: dict[str, bytes] = field(default_factory=dict[str, bytes])  # by path
    files: dict[str, JobFiles] = field(default_factory=dict[str, JobFiles])
    end: CwlEnd | None = None  # to be stored once all is made
    waits_until: float = 0.0  # on the monotonic clock
    told: str = ""

    def fail(self, why: str) -> None:
        """Note the end of a run that makes no more jobs."""
        self.due = False
        self.end = CwlEnd(status=PERMANENT, why=why[:WHY_MAX], outputs={})
        self.wanted.clear()


class _NotEvaluated(Exception):
    """The evaluator gave no answer that fits. The argument says why."""


class CwlRuns:
    """Carries out all runs."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        evaluator: Evaluates,
        making: RunTaskMaker,
        known: KnownResults,
        touch: Callable[[int], None],
        images: Mapping[str, str],
        rules: JdlRules,
        clock: Clock,
        log: Log,
    ) -> None:
        """Make the loop; it calls `touch` for each transformation that got tasks or was closed.

        `images` are the folders of unpacked images on nodes, by name. `rules` name platforms, and
        the scope of names in the catalogue.
        """
        self._images, self._rules = dict(images), rules
        self._store, self._evaluator = store, evaluator
        self._results = JobResults(store, blobs)
        self._making, self._known = making, known
        self._touch, self._clock, self._log = touch, clock, log
        self._open: dict[int, _Run] = {}
        self._failures = Counter[int]()  # in a row, by production
        self._nudged = asyncio.Event()

    def nudge(self, production_id: int) -> None:
        """Look for new runs: a production was added or steered."""
        self._nudged.set()

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            try:
                await self.once()
            except StoreBroken:
                raise
            except StoreError as why:
                if not isinstance(why, StoreFull):
                    self._log("loop_failed", loop="cwl runs", error=str(why))
                self._open.clear()  # memory may differ from the store after a failed write
                await self._clock.sleep(FULL_S)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S if self._open or self._failures else None):
                    await self._nudged.wait()
            self._nudged.clear()

    async def once(self) -> None:
        """Advance each open run as far as it goes now."""
        ids = await self._store.read(run_records.open_runs)
        for gone in [one for one, run in self._open.items() if ids.get(one) != run.sha256]:
            del self._open[gone]
            with contextlib.suppress(EvaluatorEnded, Refused):
                await self._evaluator.ask(End(run=str(gone)))
        for gone in self._failures.keys() - ids.keys():
            del self._failures[gone]
        for one, sha256 in ids.items():
            try:
                await self._look(one)
            except OF_ALL:
                raise
            except (StoreError, Refused) as why:
                self._again(one, str(why))
            except (_NotEvaluated, EvaluatorEnded) as why:
                said = f"the document cannot be evaluated: {why}"
                await self._failed(one, sha256, said, str(why))
            except Exception as why:
                said = f"the central cannot carry out this run: {type(why).__name__}: {why}"
                await self._failed(one, sha256, said, traceback.format_exc())

    async def _failed(self, production_id: int, sha256: str, why: str, log: str) -> None:
        """Try a run again after an error that no time heals, a few times; then fail it."""
        self._again(production_id, log)
        self._failures[production_id] += 1
        if self._failures[production_id] >= TRIES_MAX:
            end = CwlEnd(status=PERMANENT, why=why[:WHY_MAX], outputs={})
            rows = await self._store.read(production_records.production_steps, [production_id])
            steps = [one.row.transformation_id for one in rows[production_id]]
            await self._end(production_id, sha256, end, steps)
            del self._failures[production_id]

    def _again(self, production_id: int, why: str) -> None:
        """Read a run again after an error, a little later."""
        run = self._open.get(production_id)
        if run is None:
            self._log("loop_failed", loop=f"cwl run {production_id}", error=why)
            return
        run.begun, run.due = False, True
        run.waits_until = self._clock.monotonic() + ROOM_S
        self._tell(run, why)

    def _tell(self, run: _Run, why: str) -> None:
        if run.told != why:
            run.told = why
            self._log("cwl_run_waits", production=run.production_id, why=why[:WHY_MAX])

    # -- one run --------------------------------------------------------------------------------

    async def _look(self, production_id: int) -> None:
        run = self._open.get(production_id)
        if run is None:
            run = self._open[production_id] = await self._read(production_id)
        if run.waits_until > self._clock.monotonic():
            return
        if not run.begun:
            await self._begin(run)
        results = await self._ended(run)
        if results or run.due:
            await self._ask(run, results)
        if run.wanted:
            await self._make(run)
        elif run.end is not None:
            await self._finish(run, run.end)
        del self._failures[production_id]  # of a Counter: there may be none

    async def _read(self, production_id: int) -> _Run:
        while True:
            row = await self._store.read(production_records.production, production_id)
            texts = await self._store.read(production_records.production_texts, production_id)
            rows = await self._store.read(production_records.production_steps, [production_id])
            again = await self._store.read(production_records.production, production_id)
            assert row is not None and texts is not None and again is not None
            if row.sha256 == again.sha256:  # else a correction came in between
                break
        definition = unpacked(texts.definition)
        assert definition.cwl is not None
        return _Run(
            production_id,
            definition.cwl,
            row.made_at,
            row.group,
            row.sha256,
            definition.reuse,
            {one.step: one.row.transformation_id for one in rows[production_id]},
        )

    async def _begin(self, run: _Run) -> None:
        """Give the document and all stored results to the evaluator."""
        name = str(run.production_id)
        begin = Begin(run=name, document=run.document, at=run.at, images=self._images)
        _expect(Noted, await self._evaluator.ask(begin))
        after, run.jobs = "", {}
        while True:
            rows = await self._store.read(run_records.jobs, run.production_id, after, PAGE)
            run.jobs.update((one.key, one.job_id) for one in rows)
            known = {one.key: one.result for one in rows if one.result is not None}
            if known:
                call = Advance(run=name, results=known, more=True)
                _expect(Noted, await self._evaluator.ask(call))
            if len(rows) < PAGE:
                break
            after = rows[-1].key
        run.wanted.clear()
        run.end = None
        run.begun = run.due = True

    async def _ended(self, run: _Run) -> dict[str, Any]:
        """Take the results of jobs that have ended; return them."""
        ended = await self._store.read(run_records.ended_jobs, run.production_id, TAKEN)
        if not ended:
            return {}
        attempts = await self._store.read(
            job_records.attempts_of_jobs, [one.job_id for one in ended]
        )
        results: dict[str, Any] = {}
        for one in ended:
            outputs = outputs_of(attempts.get(one.job_id, []))
            results[one.key] = await self._results.result(one, outputs)
            run.files[one.key] = files_of(outputs, results[one.key])
        await self._store.write(run_records.take_results, run.production_id, results)
        return results

    async def _ask(self, run: _Run, results: dict[str, Any]) -> None:
        """Let the evaluator advance the run; note which jobs it wants, or the end."""
        call = Advance(run=str(run.production_id), results=results, contents=run.contents)
        while True:
            answer = await self._evaluator.ask(call)
            if not isinstance(answer, Needs):
                break
            if run.contents.keys() >= set(answer.paths):
                raise _NotEvaluated(f"it asks again for {answer.paths}")
            try:
                for path in answer.paths:
                    run.contents[path] = await self._content(run, path)
            except Unusable as unusable:
                run.fail(str(unusable))
                return
            call = msgspec.structs.replace(call, results={}, contents=run.contents)
        run.due = False
        if isinstance(answer, Unknown):
            run.begun, run.due = False, True
        elif isinstance(answer, Ended):
            why = "\n".join(answer.why)[:WHY_MAX]
            run.end = CwlEnd(status=answer.status, why=why, outputs=answer.outputs)
        else:
            advanced = _expect(Advanced, answer)
            run.wanted.update((one.key, one) for one in advanced.jobs if one.key not in run.jobs)
            if advanced.more:
                run.due = True
                self._nudged.set()

    async def _content(self, run: _Run, location: str) -> bytes:
        """Return the start of a file. Raises Unusable if it is not known."""
        path = source_of(location)
        key = path.removeprefix(RUNS).partition("/")[0] if path.startswith(RUNS) else ""
        its = await self._files(run, key) if key in run.jobs else None
        return await self._results.content(path, run.document, its)

    async def _files(self, run: _Run, key: str) -> JobFiles:
        """Return what a job of the run has put out."""
        if key not in run.files:
            run.files[key] = await self._results.files(run.jobs[key])
        return run.files[key]

    # -- jobs -----------------------------------------------------------------------------------

    async def _make(self, run: _Run) -> None:
        """Make jobs, as many as there is room for."""
        row = await self._store.read(production_records.production, run.production_id)
        if row is None or row.state is not ProductionState.ACTIVE:
            return
        by_step: dict[str, list[str]] = {}
        for key, one in run.wanted.items():
            by_step.setdefault(one.step, []).append(key)
        try:
            for step, keys in by_step.items():
                while keys:
                    keys = await self._some(run, run.steps[step], keys)
        except (OverQuota, ReserveReached, Banned) as why:
            run.waits_until = self._clock.monotonic() + ROOM_S
            self._tell(run, str(why))
        except StoreFull:
            raise
        except (Refused, Unusable) as why:
            run.fail(str(why))

    async def _some(self, run: _Run, transformation_id: int, keys: Sequence[str]) -> list[str]:
        """Make the first jobs of a step; return the keys that are left."""
        row = await self._store.read(transformation_records.transformation, transformation_id)
        assert row is not None
        chunk = keys[:CHUNK]
        recipes = self._recipes(run, row, chunk)
        known = await self._known.of(recipes.values())
        if known:
            reused = {key: known[recipes[key]] for key in chunk if recipes.get(key) in known}
            done = await self._making.reuse(run.production_id, row, reused)
            self._made(run, row, reused, done)
            return [key for key in keys if key not in reused] if done else []
        jobs: list[NewRunJob] = []
        size = 0
        for key in chunk:
            wanted = run.wanted[key]
            made = {one: await self._files(run, one) for one in needed_keys(wanted)}
            job = job_of(wanted, run.document, made, self._rules, row.group)
            jobs.append(NewRunJob(key, recipes.get(key), job))
            size += sum(map(len, job.command)) + 150 * len(job.inputs)
            if size > CHUNK_BYTES:
                break
        done = await self._making.make(run.production_id, row, jobs)
        self._made(run, row, [one.key for one in jobs], done)
        return list(keys[len(jobs) :]) if done else []

    def _recipes(self, run: _Run, row: TransformationRow, keys: Sequence[str]) -> dict[str, str]:
        """Return the recipes of jobs whose results may be reused: those of the same person.

        The files of tools are outputs of their jobs, which others may not be allowed to read.
        """
        if not run.reuses:
            return {}
        given = {key: run.wanted[key].recipe for key in keys}
        return {
            key: recipe_of(row.community, row.group, f"cwl {row.owner_id} {one}")
            for key, one in given.items()
            if one
        }

    def _made(
        self, run: _Run, row: TransformationRow, keys: Iterable[str], done: Sequence[MadeTask]
    ) -> None:
        """Note tasks that were stored; none were if the step is not Active now."""
        if not done:
            return
        for key, one in zip(keys, done, strict=True):
            run.jobs[key] = one.job_id
            del run.wanted[key]
        run.told = ""
        self._log("tasks_made", transformation=row.transformation_id, count=len(done),
                  first=done[0].number)  # fmt: skip
        self._touch(row.transformation_id)

    async def _finish(self, run: _Run, end: CwlEnd) -> None:
        """Store the end of a run; its steps complete when their tasks have ended."""
        made: dict[str, JobFiles] = {}
        if any(STORES in one for one in run.document.texts.values()):
            made = {key: await self._files(run, key) for key in keys_in(end.outputs)}
        places = Places(run.document, run.jobs, made, self._rules.scope or run.group)
        end = msgspec.structs.replace(end, outputs=places.placed(end.outputs))
        await self._end(run.production_id, run.sha256, end, run.steps.values())

    async def _end(
        self, production_id: int, sha256: str, end: CwlEnd, steps: Iterable[int]
    ) -> None:
        at = self._clock.wall()
        await self._store.write(run_records.end_run, production_id, sha256, end, at)
        for one in steps:
            self._touch(one)
        self._log("cwl_run_ended", production=production_id, status=end.status, why=end.why)


def _expect(wanted: type[A], answer: Answer) -> A:
    """Return an answer of the wanted kind. Raises _NotEvaluated."""
    if isinstance(answer, wanted):
        return answer
    raise _NotEvaluated(
        answer.why if isinstance(answer, Broken | Unfit) else f"its answer is {answer}"[:WHY_MAX]
    )
