"""ARC 7 (A-REX) by its REST interface 1.0, with a bearer token or an X.509 certificate.

Its report on a job is up to a minute old, and two minutes after the job's end, so heartbeats of
pilots count more. Descriptions are ADL (http:

www.eu-emi.eu/es/2010/12/adl).
"""

import re
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, Literal
from xml.sax.saxutils import escape

import msgspec
from msgspec import Meta

from pilotage.proto.decoding.patterns import whole

from ..credential import keep
from ..drivers import Driver, ElementTraits, Tools
from ..element import OUTPUT_MAX_BYTES, PilotOutput, PilotRequest, Slot, SlotState, SubmitResult
from ..errors import BadOptions, Denied, ElementOperation, ElementTrouble, ElementUnreachable
from .option_types import HttpsUrl, PathOrNone
from .program_calls import batches, submit_each
from .web import ANSWER_MAX_BYTES, LATER, ElementHttp, WebReply, opened

OUTPUT_READ_MAX_BYTES = 16_000_000  # read of a pilot's output, to find its end
_ADL = "http://www.eu-emi.eu/es/2010/12/adl"
CERTIFICATE = "certificate.pem"
DONE = ("200", "201", "202", "404")  # of one job: done, accepted, or no such job
_JSON = {"content-type": "application/json"}
_SLOT = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_WAITS = frozenset(
    {"ACCEPTING", "ACCEPTED", "PREPARING", "PREPARED", "SUBMITTING", "QUEUING"},
)
_RUNS = frozenset(
    {"RUNNING", "HELD", "EXITINGLRMS", "OTHER", "EXECUTED", "FINISHING", "KILLING"},
)
_ENDED = frozenset({"FINISHED", "FAILED", "KILLED", "WIPED"})
_DESCRIPTION = """\
<ActivityDescription xmlns="{adl}">
<ActivityIdentification><Name>{stamp}</Name></ActivityIdentification>
<Application><Executable><Path>pilot.sh</Path></Executable>
<Output>stdout</Output><Error>stderr</Error></Application>
<Resources>{resources}</Resources>
<DataStaging>
<InputFile><Name>pilot.sh</Name><IsExecutable>true</IsExecutable></InputFile>
<OutputFile><Name>stdout</Name></OutputFile><OutputFile><Name>stderr</Name></OutputFile>
</DataStaging>
</ActivityDescription>"""


class ArcOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of an element of kind `arc`."""

    url: HttpsUrl
    queue: Annotated[str, Meta(pattern=whole("([A-Za-z0-9][A-Za-z0-9_.-]*)?"), max_length=128)] = ""
    ca_file: PathOrNone = ""  # empty: the system's
    runtime_environments: tuple[
        Annotated[str, Meta(pattern=whole("[A-Za-z0-9][A-Za-z0-9_./-]*"), max_length=128)], ...
    ] = ()
    access: Literal["token", "certificate"] = "token"
    timeout_s: Annotated[float, Meta(gt=0, le=600)] = 60.0  # of one request


class Arc:
    """A compute element. A slot is a job id; the pilot's stamp is the name of its activity."""

    def __init__(self, options: ArcOptions, tools: Tools) -> None:
        self._options, self._tools = options, tools
        self._base = options.url.rstrip("/") + "/rest/1.0"

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[ElementHttp]:
        options, source = self._options, self._tools.credential
        known: dict[str, str] = {}
        if source is not None:
            credential = await source.current()
            if options.access == "token":
                known = {"token": credential.text}
            else:
                known = {"certificate": str(keep(credential, self._tools.folder / CERTIFICATE))}
        async with opened(
            self._base,
            ca_file=options.ca_file,
            timeout_s=options.timeout_s,
            transport=self._tools.transport,
            **known,
        ) as web:
            yield web

    async def reach(self) -> None:
        """Ask for our jobs. Raises as all calls do."""
        async with self._open() as web:
            await _ask(web, ElementOperation.REACH, "GET", "/jobs")

    async def submit(self, requests: Sequence[PilotRequest]) -> SubmitResult:
        """Describe all pilots in one request, then send their scripts. Raises as all calls do."""
        async with self._open() as web:
            jobs = await self._describe(web, requests)
            try:
                submitted = await submit_each(requests, lambda one: _begin(web, one, jobs))
            except ElementUnreachable:
                await _leave(web, jobs.values())
                raise
            known = {*submitted.slots, *submitted.refused}
            await _leave(web, [job for stamp, job in jobs.items() if stamp not in known])
            return submitted

    async def _describe(
        self, web: ElementHttp, requests: Sequence[PilotRequest]
    ) -> dict[str, "_New"]:
        """Describe the jobs; return them by stamp, refused or waiting for their scripts."""
        text = "".join(self._description(one) for one in requests)
        answer = await _ask(
            web,
            ElementOperation.SUBMIT,
            "POST",
            "/jobs?action=new",
            content=f'<ActivityDescriptions xmlns="{_ADL}">{text}</ActivityDescriptions>'.encode(),
            headers={"content-type": "application/xml"},
        )
        jobs = _jobs(ElementOperation.SUBMIT, answer, type_=_New)
        if len(jobs) != len(requests):
            await _leave(web, jobs)
            raise ElementUnreachable(
                ElementOperation.SUBMIT,
                f"received {len(jobs)} answers to {len(requests)} descriptions",
            )
        return {one.stamp: job for one, job in zip(requests, jobs, strict=True)}

    def _description(self, request: PilotRequest) -> str:
        options = self._options
        # in the order of the schema
        resources = "".join(
            f"<RuntimeEnvironment><Name>{escape(one)}</Name></RuntimeEnvironment>"
            for one in options.runtime_environments
        )
        if request.memory_mb:
            each = int(request.memory_mb * 1e6 / max(1, request.cores))
            resources += f"<IndividualPhysicalMemory>{each}</IndividualPhysicalMemory>"
        if request.wall_s:
            resources += f"<WallTime>{request.wall_s}</WallTime>"
        slots = f"<NumberOfSlots>{max(1, request.cores)}</NumberOfSlots>"
        if not request.cores:
            slots += "<ExclusiveExecution>true</ExclusiveExecution>"
        elif request.cores > 1:
            slots += f"<SlotsPerHost>{request.cores}</SlotsPerHost>"
        resources += f"<SlotRequirement>{slots}</SlotRequirement>"
        if options.queue:
            resources += f"<QueueName>{escape(options.queue)}</QueueName>"
        return _DESCRIPTION.format(adl=_ADL, stamp=request.stamp, resources=resources)

    async def find(self, stamps: Sequence[str]) -> dict[str, str]:
        """Return our jobs with these names, if the element lists them already."""
        wanted, found = set(stamps), dict[str, str]()
        async with self._open() as web:
            answer = await _ask(web, ElementOperation.STATES, "GET", "/jobs")
            listed = [one.id for one in _jobs(ElementOperation.STATES, answer, type_=_New)]
            for some in batches([one for one in listed if _is_slot(one)]):
                for one in await _ask_about(
                    web, ElementOperation.STATES, "info", some, type_=_Told
                ):
                    name = one.info_document.ComputingActivity.Name
                    if name in wanted and _is_slot(one.id):
                        found[name] = one.id
        return found

    async def states(self, slots: Sequence[str]) -> dict[str, Slot]:
        """Return the states of jobs, with one request for all. Raises as all calls do."""
        found = {slot: Slot(SlotState.GONE) for slot in slots}
        async with self._open() as web:
            for some in batches([one for one in slots if _is_slot(one)]):
                for one in await _ask_about(
                    web, ElementOperation.STATES, "status", some, type_=_Stands
                ):
                    if one.id in found and one.state not in ("", "None"):  # else it has no such job
                        found[one.id] = _slot(one.state)
        return found

    async def cancel(self, slots: Sequence[str]) -> None:
        """Kill jobs. Raises as all calls do."""
        await self._tell(ElementOperation.CANCEL, "kill", slots)

    async def output(self, slot: str) -> PilotOutput:
        """Return the ends of both streams. Raises as all calls do."""
        if not _is_slot(slot):
            return PilotOutput()
        async with self._open() as web:
            return PilotOutput(await _end(web, slot, "stdout"), await _end(web, slot, "stderr"))

    async def forget(self, slots: Sequence[str]) -> None:
        """Tell the element to clean jobs away. Raises as all calls do."""
        await self._tell(ElementOperation.OUTPUT, "clean", slots)

    async def _tell(self, step: ElementOperation, action: str, slots: Sequence[str]) -> None:
        async with self._open() as web:
            for some in batches([one for one in slots if _is_slot(one)]):
                await _ask_about(web, step, action, some, type_=_New)


async def _begin(web: ElementHttp, request: PilotRequest, jobs: Mapping[str, "_New"]) -> str:
    """Send a job its script, which starts it; kill a job that does not accept its script."""
    job = jobs[request.stamp]
    if not _is_slot(job.id):
        raise Denied(ElementOperation.SUBMIT, job.reason or "the answer has no id")
    path = f"/jobs/{job.id}/session/pilot.sh"
    try:
        await _ask(web, ElementOperation.SUBMIT, "PUT", path, content=request.script)
    except Denied as why:
        try:
            for action in ("kill", "clean"):
                (reply,) = await _ask_about(
                    web, ElementOperation.SUBMIT, action, [job.id], type_=_New
                )
                if str(reply.status_code) not in DONE:
                    raise Denied(
                        ElementOperation.SUBMIT, reply.reason or f"{action}: {reply.status_code}"
                    )
        except (ElementTrouble, ValueError) as left:
            told_of = f"{why.why}; its job {job.id} is not removed: {left}"
            raise ElementUnreachable(ElementOperation.SUBMIT, told_of) from None
        raise
    return job.id


async def _leave(web: ElementHttp, jobs: Iterable["_New"]) -> None:
    """Kill jobs whose scripts may not have arrived; A-REX itself waits 10 minutes.

    They are not cleaned away, so that their outcome can still be found.
    """
    with suppress(ElementTrouble):
        for some in batches([one.id for one in jobs if _is_slot(one.id)]):
            await _ask_about(web, ElementOperation.SUBMIT, "kill", some, type_=_New)


async def _end(web: ElementHttp, slot: str, stream: str) -> bytes:
    path = f"/jobs/{slot}/session/{stream}"
    try:
        printed = await _ask(web, ElementOperation.OUTPUT, "GET", path, most=OUTPUT_READ_MAX_BYTES)
    except _NotThere:
        return b""
    return printed[-OUTPUT_MAX_BYTES:]


async def _ask_about(
    web: ElementHttp, step: ElementOperation, action: str, slots: Sequence[str], *, type_: Any
) -> list[Any]:
    content = msgspec.json.encode({"job": [{"id": slot} for slot in slots]})
    answer = await _ask(web, step, "POST", f"/jobs?action={action}", content=content, headers=_JSON)
    return _jobs(step, answer, type_=type_)


async def _ask(
    web: ElementHttp,
    step: ElementOperation,
    method: str,
    path: str,
    *,
    content: bytes = b"",
    headers: Mapping[str, str] | None = None,
    most: int = ANSWER_MAX_BYTES,
) -> bytes:
    """Return a successful answer. Raises Denied (also _NotThere) and ElementUnreachable."""
    given = await web.ask(step, method, path, content=content, headers=headers, most=most)
    return _judged(step, given)


class _NotThere(Denied):
    """The element has no such thing."""


def _judged(step: ElementOperation, answer: WebReply) -> bytes:
    status, text = answer.status, " ".join(answer.said[:300].decode("utf-8", "replace").split())
    if status < 300:
        return answer.said
    if status in (401, 403):
        raise Denied(ElementOperation.AUTHORISE, f"{status}: {text}")
    if status == 404:
        raise _NotThere(step, f"404: {text}")
    if status < 500 and status not in LATER:
        raise Denied(step, f"{status}: {text}")
    if status == 500 and not text:
        text = "no message; A-REX 7.0 answers like this if it refuses the credential"
    raise ElementUnreachable(step, f"{status}: {text}")


class _New(msgspec.Struct, frozen=True, rename={"status_code": "status-code"}):
    id: str = ""
    reason: str = ""
    status_code: str | int = ""


class _Stands(msgspec.Struct, frozen=True):
    id: str = ""
    state: str = ""


class _Activity(msgspec.Struct, frozen=True):
    Name: str = ""


class _Document(msgspec.Struct, frozen=True):
    ComputingActivity: _Activity = _Activity()


class _Told(msgspec.Struct, frozen=True):
    id: str = ""
    info_document: _Document = _Document()


def _jobs(step: ElementOperation, answer: bytes, *, type_: Any) -> list[Any]:
    """Return the jobs of an answer: a single job is not a list, and no job is null."""
    if not answer.strip():
        return []
    try:
        text = answer.decode("utf-8", "replace")
        found = msgspec.json.decode(text, type=dict[str, Any]).get("job", [])
        return msgspec.convert(
            found if isinstance(found, list) else [found], list[type_], strict=False
        )
    except (msgspec.MsgspecError, RecursionError) as why:
        raise ElementUnreachable(step, f"the answer is {answer[:200]!r}: {why}") from None


def _slot(state: str) -> Slot:
    if state in _WAITS:
        return Slot(SlotState.QUEUED)
    if state in _ENDED:
        return Slot(SlotState.ENDED, why="" if state == "FINISHED" else state)
    if state in _RUNS:
        return Slot(SlotState.RUNNING)
    raise ElementUnreachable(ElementOperation.STATES, f"it reports the unknown state {state!r}")


def _is_slot(text: str) -> bool:
    return _SLOT.fullmatch(text) is not None


def _check_use(options: ArcOptions, use: ElementTraits) -> None:
    if not use.has_credential:
        kind = "a token" if options.access == "token" else "a certificate"
        raise BadOptions(f"credential: is required: {kind} for access {options.access!r}")


DRIVER = Driver(ArcOptions, Arc, files=("ca_file",), check_use=_check_use)
