"""Checks the entries of a submission, turns them into rows, and groups stored jobs into runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import groupby

import msgspec

from pilotage.proto.api.jobs import Submission
from pilotage.proto.decoding.complaints import short
from pilotage.proto.documents.job import Job
from pilotage.proto.problems import Code

from ...catalogue.checks import check_scopes
from ...catalogue.input_resolution import InputResolver, ResolvedInputs
from ...catalogue.rights import writing
from ...decode import decode
from ...errors import Refused
from ...identity.callers import User
from ...identity.record_types import Owner
from ...jobs.classes import JobClasses, KnownClass, wished
from ...jobs.definition.checks import (
    NUL,
    check,
    check_characters,
    check_number,
    check_tokens,
    group_of,
)
from ...jobs.definition.normal_form import normal_needs, normal_preference
from ...jobs.definition.rendering import (
    LITERAL_BRACES,
    TemplateEntry,
    decode_job,
    decode_parameters,
    fill,
    filled_text,
    uses_in,
)
from ...jobs.definition.sizes import FilledSizes, check_name, check_size
from ...jobs.definition.software import needs_of
from ...jobs.record_dependencies import Dependent, parents_of
from ...jobs.record_types import JobClassRow, NewDependency, NewJob
from ...rucio.outgoing import RucioEntries, check_going_out, no_servers
from .parents import ParentJobs

SHORT = 4_096  # bytes: most entries of parameters are shorter
SHOWN_MAX = 20  # names in a message
COMPARED_MAX = 20  # names that are compared to find a misspelling
COMPARED_LENGTH_MAX = 64

_encode = msgspec.json.encode


@dataclass(frozen=True)
class CheckedJobs:
    """Checked jobs, ready to be stored: the class and the row of each."""

    infos: Sequence[KnownClass]
    rows: Sequence[NewJob]


class ArrivedJobs:
    """The jobs of a submission that are stored so far, in runs of equal class and priority."""

    def __init__(self) -> None:
        self.runs: list[tuple[KnownClass, int, int, int]] = []  # class, priority, first id, count
        self.limits: list[tuple[int, float]] = []
        self.dependents: list[Dependent] = []
        self._ranges: list[tuple[int, int]] = []

    def add(self, first: int, ready: CheckedJobs) -> None:
        """Note that these jobs have consecutive ids from `first` on."""
        start = 0
        for (_, priority), alike in groupby(zip(ready.infos, ready.rows, strict=True), _alike):
            count = sum(1 for _ in alike)
            self._join(ready.infos[start], priority, first + start, count)
            start += count
        self.limits += [
            (job, row.queue_until)
            for job, row in enumerate(ready.rows, first)
            if row.queue_until is not None
        ]
        self._ranges.append((first, len(ready.rows)))
        self.dependents += [
            Dependent(job, row.class_id, row.policy, parents_of(row, self._ranges))
            for job, row in enumerate(ready.rows, first)
            if row.after
        ]

    def _join(self, info: KnownClass, priority: int, first: int, count: int) -> None:
        if self.runs:
            before, its_priority, its_first, its_count = self.runs[-1]
            if before is info and its_priority == priority and its_first + its_count == first:
                self.runs[-1] = (info, priority, its_first, its_count + count)
                return
        self.runs.append((info, priority, first, count))


def _alike(pair: tuple[KnownClass, NewJob]) -> tuple[int, int]:
    return id(pair[0]), pair[1].priority


def lacking(names: frozenset[str], given: TemplateEntry) -> str:
    """Return a text that names the missing parameters of an entry, and those that it has."""
    absent, surplus = names - given.keys(), given.keys() - names
    said = f"the template also uses {_some(sorted(absent))}; this entry has "
    said += _some(list(given)) or "nothing"
    # The cost of a comparison is the product of the lengths, so compare only few, short names.
    likely = [name for name in surplus if len(name) <= COMPARED_LENGTH_MAX][:COMPARED_MAX]
    for name in sorted(absent)[:COMPARED_MAX]:
        if len(name) <= COMPARED_LENGTH_MAX:
            for close in get_close_matches(name, sorted(likely), n=1):
                return f"{said}: is `{name}` a misspelling of `{close}`?"
    return f"{said}. {LITERAL_BRACES}"


def _some(names: list[str]) -> str:
    shown = ", ".join(map(short, names[:SHOWN_MAX]))
    return shown if len(names) <= SHOWN_MAX else f"{shown} and {len(names) - SHOWN_MAX} more"


def _with_parents(row: NewJob, job: Job, after: tuple[NewDependency, ...]) -> NewJob:
    return msgspec.structs.replace(row, after=after, policy=job.after_failed)


def _names_id(job: Job) -> bool:
    """Return whether the id of a job is a part of its name."""
    return bool(job.id_placeholder) and job.id_placeholder in job.name


class RowMaker:
    """Turns the entries of one submission into checked rows."""

    def __init__(
        self,
        classes: JobClasses,
        *,
        caller: User,
        owner: Owner,
        header: Submission,
        at: float,
        data: InputResolver | None = None,
        rucio: RucioEntries = no_servers,
        parents: ParentJobs,
    ) -> None:
        self.parents = parents
        self._data, self._rucio = data, rucio
        self._classes, self._caller = classes, caller
        self.fresh: list[KnownClass] = []  # classes that are new with this submission
        self.owner, self._at = owner, at
        self._key, self._running_max = header.key, header.running_max
        self._template = header.template
        if self._template is not None:
            check(self._template, "template")
            check_tokens(caller, self._template, "template")
            check_characters(msgspec.to_builtins(self._template), "template")
            uses = uses_in(self._template)
            self._names, self._sizes = frozenset(uses), FilledSizes(self._template, uses)

    async def ready(self, entries: Sequence[msgspec.Raw], *, start: int) -> CheckedJobs:
        """Return the rows of these entries. Raises Refused naming the entry and field."""
        if self._template is not None:
            fill_in = self._filled if self._template.data is None else self._filled_with_data
            checked = await fill_in(self._template, entries, start)
            return await self._after(self._template, checked, start)
        settled: dict[int, ResolvedInputs] = {}
        jobs: list[Job] = []
        bodies: list[bytes] = []
        classes: list[JobClassRow] = []
        for number, entry in enumerate(entries, start):
            where = f"jobs[{number}]"
            body = bytes(entry)
            check_size(body, where)
            job = self._decoded(entry, where)
            check(job, where)
            check_tokens(self._caller, job, where)
            if NUL in body:
                check_characters(msgspec.to_builtins(job), where)
            if job.data is not None:
                settled[len(jobs)] = found = await self._settled(job, where)
                classes.append(self._class(found.job, where))
            else:
                classes.append(self._class(job, where))
            jobs.append(job)
            bodies.append(body)
        infos = await self._interned(classes)
        rows = list(map(self._row, jobs, infos, bodies))
        if any(job.after for job in jobs):
            await self.parents.learn(jobs)
            for place, job in enumerate(jobs):
                after = self.parents.of(job, f"jobs[{start + place}]", start + place)
                rows[place] = _with_parents(rows[place], job, after)
        for place, found in settled.items():
            rows[place] = msgspec.structs.replace(
                rows[place], inputs=found.inputs, stores=found.stores
            )
        return CheckedJobs(infos, rows)

    async def _after(self, template: Job, checked: CheckedJobs, start: int) -> CheckedJobs:
        """Return the jobs of a template with their parents."""
        if not template.after:
            return checked
        await self.parents.learn([template])
        after = self.parents.of(template, "template", None)
        if any(one.each for one in template.after):
            of_each = [
                self.parents.of(template, "template", place)
                for place in range(start, start + len(checked.rows))
            ]
        else:
            of_each = [after] * len(checked.rows)
            self.parents.count(len(after) * (len(checked.rows) - 1), "template")
        rows = [
            _with_parents(row, template, its)
            for row, its in zip(checked.rows, of_each, strict=True)
        ]
        return CheckedJobs(checked.infos, rows)

    async def _settled(self, job: Job, where: str) -> ResolvedInputs:
        """Return the input files of a job and where it can run. Raises Refused with the field."""
        if self._data is None:
            why = f"{where}.data: this central has no storages, so jobs cannot use data"
            raise Refused(Code.INVALID, why, field=f"{where}.data")
        assert job.data is not None
        group = group_of(self._caller, job, where)
        at = f"{where}.data"
        check_scopes(job.data, group, writing(self._caller), at)
        check_going_out(self._rucio(), self.owner.community, job.data, group, at)
        return await self._data.settle(job, where, group=group)

    async def _filled_with_data(
        self, template: Job, entries: Sequence[msgspec.Raw], start: int
    ) -> CheckedJobs:
        """Return the rows of jobs whose input files differ.

        Such jobs have different classes, since the locations of the files are part of a class.
        """
        rows: list[NewJob] = []
        classes: list[JobClassRow] = []
        own_names = _names_id(template)
        for number, body in enumerate(map(bytes, entries), start):
            where = f"parameters[{number}]"
            given = self._parameters(body, number)
            self._sizes.check(body, given, where)
            check_characters(given, where)
            job = fill(template, given)
            check(job, where)
            check_name(job.name, where)
            found = await self._settled(job, where)
            classes.append(self._class(found.job, where))
            rows.append(
                NewJob(
                    class_id=0,
                    body=body,
                    priority=job.priority,
                    retries=job.retries,
                    queue_until=self._until(job),
                    name=job.name if own_names or job.name != template.name else None,
                    id_placeholder=job.id_placeholder,
                    inputs=found.inputs,
                    stores=found.stores,
                    has_tokens=bool(template.tokens),
                )
            )
        infos = await self._interned(classes)
        return CheckedJobs(
            infos,
            [
                msgspec.structs.replace(row, class_id=info.spec.class_id)
                for row, info in zip(rows, infos, strict=True)
            ],
        )

    async def _filled(
        self, template: Job, entries: Sequence[msgspec.Raw], start: int
    ) -> CheckedJobs:
        """Return the rows of jobs that differ only in their parameters."""
        (info,) = await self._interned([self._class(template, "template")])
        class_id, priority, retries = info.spec.class_id, template.priority, template.retries
        until = self._until(template)
        bodies = list(map(bytes, entries))
        suspect = self._suspect(bodies)
        own_names = "{" in template.name or "}" in template.name or _names_id(template)
        rows: list[NewJob] = []
        for number, body in enumerate(bodies, start):
            given = self._parameters(body, number)
            if suspect:
                self._sizes.check(body, given, f"parameters[{number}]")
                check_characters(given, f"parameters[{number}]")
            name = filled_text(template.name, given) if own_names else None
            if name is not None:
                check_name(name, f"parameters[{number}]")
            rows.append(
                NewJob(
                    class_id=class_id,
                    body=body,
                    priority=priority,
                    retries=retries,
                    queue_until=until,
                    name=name,
                    has_tokens=bool(template.tokens),
                    id_placeholder=template.id_placeholder,
                )
            )
        return CheckedJobs([info] * len(rows), rows)

    def _suspect(self, bodies: Sequence[bytes]) -> bool:
        """Return whether each entry needs a check of its size and characters.

        The check is not needed if all entries are short and contain no NUL.
        """
        largest = max(map(len, bodies))
        return largest > min(self._sizes.fits_max, SHORT) or NUL in b"".join(bodies)

    def _parameters(self, entry: bytes, number: int) -> TemplateEntry:
        try:
            given = decode_parameters(entry)
        except msgspec.DecodeError:
            given = decode(
                entry, TemplateEntry, where=f"parameters[{number}]"
            )  # has the better message
        check_number(len(given), f"parameters[{number}]")
        if not self._names <= given.keys():
            where = f"parameters[{number}]"
            said = lacking(self._names, given)
            raise Refused(Code.INVALID, f"{where}: {said}", field=where)
        return given

    def _decoded(self, entry: msgspec.Raw, where: str) -> Job:
        try:
            return decode_job(entry)
        except msgspec.DecodeError:
            return decode(entry, Job, where=where)  # has the better message, with similar names

    def _row(self, job: Job, info: KnownClass, body: bytes) -> NewJob:
        return NewJob(
            class_id=info.spec.class_id,
            body=body,
            priority=job.priority,
            retries=job.retries,
            queue_until=self._until(job),
            name=job.name or None,
            has_tokens=bool(job.tokens),
            id_placeholder=job.id_placeholder,
        )

    def _class(self, job: Job, where: str) -> JobClassRow:
        return JobClassRow(
            community=self.owner.community,
            group=group_of(self._caller, job, where),
            owner_id=self.owner.owner_id,
            type=job.type,
            needs=_encode(normal_needs(needs_of(job))),
            preference=wished(normal_preference(job.preference), self._key, self._running_max),
        )

    async def _interned(self, rows: Sequence[JobClassRow]) -> list[KnownClass]:
        infos, new = await self._classes.intern(rows)
        self.fresh += new
        return infos

    def _until(self, job: Job) -> float | None:
        """Return when the queue time of the job is over (wall clock)."""
        return self._at + job.queue_s if job.queue_s else None
