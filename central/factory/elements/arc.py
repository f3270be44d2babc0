"""ARC 7 (A-REX) by its REST interface, version 1.0, with a bearer token or an X.509 certificate.

Its word on a job is up to a minute old, a minute more after its end: pilots are believed first.
Descriptions are ADL (http://www.eu-emi.eu/es/2010/12/adl).
"""

import asyncio
import re
import ssl
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from xml.sax.saxutils import escape

import httpx
import msgspec
from msgspec import Meta

from pilotage.proto.patterns import whole

from ..credential import Credential, keep
from ..drivers import Driver, Tools
from ..element import OUTPUT_MAX_BYTES, PilotOutput, PilotRequest, Slot, SlotState, Submitted
from ..errors import Denied, Step, Unreachable
from .calls import batches
from .words import HttpsUrl, PathOrNone

ANSWER_MAX_BYTES = 64_000_000
OUTPUT_READ_MAX_BYTES = 16_000_000  # of what a pilot printed, to find its end
_ADL = "http://www.eu-emi.eu/es/2010/12/adl"
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

    async def reach(self) -> None:
        """Ask for our jobs. Raises as all calls do."""
        await self._ask(Step.REACH, "GET", "/jobs")

    async def submit(self, requests: Sequence[PilotRequest]) -> Submitted:
        """Describe all pilots in one request, then send their scripts. Raises as all calls do."""
        text = "".join(self._description(one) for one in requests)
        answer = await self._ask(
            Step.SUBMIT,
            "POST",
            "/jobs?action=new",
            content=f'<ActivityDescriptions xmlns="{_ADL}">{text}</ActivityDescriptions>'.encode(),
            headers={"content-type": "application/xml"},
        )
        jobs = _jobs(Step.SUBMIT, answer, type_=_New)
        if len(jobs) != len(requests):
            raise Unreachable(Step.SUBMIT, f"{len(jobs)} answers to {len(requests)} descriptions")
        slots: dict[str, str] = {}
        refused: dict[str, str] = {}
        for request, job in zip(requests, jobs, strict=True):
            if not _is_slot(job.id):
                refused[request.stamp] = job.reason or "it gave no id"
                continue
            await self._ask(
                Step.SUBMIT, "PUT", f"/jobs/{job.id}/session/pilot.sh", content=request.script
            )
            slots[request.stamp] = job.id
        if refused and not slots:
            raise Denied(Step.SUBMIT, next(iter(refused.values())))
        return Submitted(slots, refused)

    def _description(self, request: PilotRequest) -> str:
        options = self._options
        # The schema's own order of elements.
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
        """Return our jobs with these names, as far as the element shows them by now."""
        listed = _jobs(Step.STATES, await self._ask(Step.STATES, "GET", "/jobs"), type_=_New)
        wanted, found = set(stamps), dict[str, str]()
        for some in batches([one.id for one in listed if _is_slot(one.id)]):
            for one in await self._of(Step.STATES, "info", some, type_=_Told):
                name = one.info_document.ComputingActivity.Name
                if name in wanted:
                    found[name] = one.id
        return found

    async def states(self, slots: Sequence[str]) -> dict[str, Slot]:
        """Return where jobs stand, by one request for all. Raises as all calls do."""
        found = {slot: Slot(SlotState.GONE) for slot in slots}
        for some in batches([one for one in slots if _is_slot(one)]):
            for one in await self._of(Step.STATES, "status", some, type_=_Stands):
                if one.id in found and one.state not in ("", "None"):  # of what it does not know
                    found[one.id] = _slot(one.state)
        return found

    async def cancel(self, slots: Sequence[str]) -> None:
        """Kill jobs. Raises as all calls do."""
        for some in batches([one for one in slots if _is_slot(one)]):
            await self._of(Step.CANCEL, "kill", some, type_=_New)

    async def output(self, slot: str) -> PilotOutput:
        """Return the ends of both streams. Raises as all calls do."""
        return PilotOutput(await self._end(slot, "stdout"), await self._end(slot, "stderr"))

    async def _end(self, slot: str, stream: str) -> bytes:
        if not _is_slot(slot):
            return b""
        try:
            printed = await self._ask(
                Step.OUTPUT,
                "GET",
                f"/jobs/{slot}/session/{stream}",
                most=OUTPUT_READ_MAX_BYTES,
            )
        except _NotThere:
            return b""
        return printed[-OUTPUT_MAX_BYTES:]

    async def forget(self, slots: Sequence[str]) -> None:
        """Let the element clean jobs away. Raises as all calls do."""
        for some in batches([one for one in slots if _is_slot(one)]):
            await self._of(Step.OUTPUT, "clean", some, type_=_New)

    async def _of(self, step: Step, action: str, slots: Sequence[str], *, type_: Any) -> list[Any]:
        answer = await self._ask(
            step,
            "POST",
            f"/jobs?action={action}",
            content=msgspec.json.encode({"job": [{"id": slot} for slot in slots]}),
            headers={"content-type": "application/json"},
        )
        return _jobs(step, answer, type_=type_)

    async def _ask(
        self,
        step: Step,
        method: str,
        path: str,
        *,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        most: int = ANSWER_MAX_BYTES,
    ) -> bytes:
        source = self._tools.credential
        credential = None if source is None else await source.current()
        given = {"accept": "application/json", **(headers or {})}
        if credential is not None and self._options.access == "token":
            given["authorization"] = f"Bearer {credential.text}"
        try:
            async with (
                asyncio.timeout(self._options.timeout_s),  # of all of it, however slowly it comes
                httpx.AsyncClient(
                    verify=self._context(credential),
                    timeout=self._options.timeout_s,
                    transport=self._tools.transport,
                    trust_env=False,
                ) as client,
                client.stream(method, self._base + path, content=content, headers=given) as reply,
            ):
                said = await _read(reply, most)
        except (httpx.HTTPError, ssl.SSLError, OSError, TimeoutError, ValueError) as why:
            raise Unreachable(step, f"{type(why).__name__}: {why}") from None
        return _judged(step, reply.status_code, said)

    def _context(self, credential: Credential | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._options.ca_file or None)
        if credential is not None and self._options.access == "certificate":
            file = keep(credential, self._tools.folder / "certificate.pem")
            context.load_cert_chain(file)
        return context


async def _read(reply: httpx.Response, most: int) -> bytes:
    """Return the end of an answer; what is before it is read and dropped."""
    said = bytearray()
    async for chunk in reply.aiter_bytes():
        said += chunk
        if len(said) > 2 * most:
            del said[:-most]
    return bytes(said[-most:])


class _NotThere(Denied):
    """There is no such thing at the element."""


def _judged(step: Step, status: int, said: bytes) -> bytes:
    told = " ".join(said[:300].decode("utf-8", "replace").split())
    if status < 300:
        return said
    if status in (401, 403):
        raise Denied(Step.AUTHORISE, f"{status}: {told}")
    if status == 404:
        raise _NotThere(step, f"404: {told}")
    if status < 500:
        raise Denied(step, f"{status}: {told}")
    if status == 500 and not told:
        told = "no words; A-REX 7.0 answers so where it does not take the credential"
    raise Unreachable(step, f"{status}: {told}")


class _New(msgspec.Struct, frozen=True):
    id: str = ""
    reason: str = ""


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


def _jobs(step: Step, answer: bytes, *, type_: Any) -> list[Any]:
    """Return the jobs of an answer. One alone is no list, and none is nothing at all."""
    if not answer.strip():
        return []
    try:
        text = answer.decode("utf-8", "replace")
        found = msgspec.json.decode(text, type=dict[str, Any]).get("job", [])
        return msgspec.convert(
            found if isinstance(found, list) else [found], list[type_], strict=False
        )
    except (msgspec.MsgspecError, RecursionError) as why:
        raise Unreachable(step, f"it answered {answer[:200]!r}: {why}") from None


def _slot(state: str) -> Slot:
    if state in _WAITS:
        return Slot(SlotState.QUEUED)
    if state in _ENDED:
        return Slot(SlotState.ENDED, why="" if state == "FINISHED" else state)
    if state in _RUNS:
        return Slot(SlotState.RUNNING)
    raise Unreachable(Step.STATES, f"it says {state!r}, which is no state that we know")


def _is_slot(text: str) -> bool:
    return _SLOT.fullmatch(text) is not None


DRIVER = Driver(ArcOptions, Arc)
