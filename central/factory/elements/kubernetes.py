"""Kubernetes, by its REST API: each pilot is a Job (batch/v1) with one Pod.

The token belongs to a service account of one namespace; docs/sites/kubernetes.md lists its rights.
Kubernetes keeps one stream of a container, so all output of a pilot is in `stdout`.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from ..drivers import Driver, ElementTraits, Tools, check_nodes
from ..element import OUTPUT_MAX_BYTES, PilotOutput, PilotRequest, Slot, SlotState, SubmitResult
from ..errors import BadOptions, Denied, ElementOperation, ElementUnreachable
from .kubernetes_objects import (
    CONTAINER,
    OURS,
    STAMP,
    KubernetesJob,
    KubernetesJobList,
    KubernetesOptions,
    ObjectList,
    Pod,
    PodList,
    SingleKubernetesJob,
    is_name,
    job,
    job_name,
    one_line,
    pods_by_job,
    secret,
    slot,
)
from .program_calls import submit_each
from .web import ANSWER_MAX_BYTES, LATER, ElementHttp, WebReply, for_each, opened

T = TypeVar("T")
PAGE = 500
PAGES_MAX = 2_000
LISTED_MAX = 100_000
LISTS_MAX = 3  # restarts of a list that expires while it is read
LOG_LINES = 4_096
LOG_READ_MAX_BYTES = 16_000_000
NO_CREDENTIAL = "credential: is required: the source of a service account's token"
_STRICT = "fieldValidation=Strict"  # an unknown field is our mistake
_JSON = {"content-type": "application/json"}
_MERGE = {"content-type": "application/merge-patch+json"}


class Kubernetes:
    """A namespace. A slot is the name of a Job, which is the pilot's stamp."""

    def __init__(self, options: KubernetesOptions, tools: Tools) -> None:
        if tools.credential is None:
            raise BadOptions(NO_CREDENTIAL)
        self._options, self._tools, self._source = options, tools, tools.credential
        self._jobs = f"/apis/batch/v1/namespaces/{options.namespace}/jobs"
        self._core = f"/api/v1/namespaces/{options.namespace}"

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[ElementHttp]:
        options = self._options
        credential = await self._source.current()
        async with opened(
            options.url.rstrip("/"),
            ca_file=options.ca_file,
            token=credential.text,
            timeout_s=options.timeout_s,
            transport=self._tools.transport,
        ) as web:
            yield web

    async def reach(self) -> None:
        """Ask for one of our Jobs. Raises as all calls do."""
        query = urlencode({"labelSelector": OURS, "limit": 1})
        async with self._open() as web:
            answer = await _ask(web, ElementOperation.REACH, "GET", f"{self._jobs}?{query}")
            _decoded(ElementOperation.REACH, answer, KubernetesJobList)

    async def submit(self, requests: Sequence[PilotRequest]) -> SubmitResult:
        """Create a Job for each pilot, send its script, then start it. Raises as all calls do."""
        async with self._open() as web:

            async def one(request: PilotRequest) -> str:
                return await self._submit(web, request)

            return await submit_each(requests, one)

    async def _submit(self, web: ElementHttp, request: PilotRequest) -> str:
        name = job_name(request.stamp)
        try:
            made = await _ask(
                web,
                ElementOperation.SUBMIT,
                "POST",
                f"{self._jobs}?{_STRICT}",
                content=msgspec.json.encode(job(request, self._options)),
            )
        except _Conflict:  # from an earlier try whose answer was lost; complete it now
            try:
                await self._finish(web, request, await self._ours(web, request.stamp))
            except Denied as why:  # but earlier steps had their effect
                raise ElementUnreachable(ElementOperation.SUBMIT, why.why) from None
            return name
        try:
            await self._finish(
                web, request, _decoded(ElementOperation.SUBMIT, made, SingleKubernetesJob)
            )
        except Denied:
            try:
                await self._delete(web, ElementOperation.SUBMIT, name)
            except Denied as why:  # the Job exists and waits for its script
                raise ElementUnreachable(
                    ElementOperation.SUBMIT, f"the Job was created and remains: {why.why}"
                ) from None
            raise
        return name

    async def _ours(self, web: ElementHttp, stamp: str) -> KubernetesJob:
        name = job_name(stamp)
        answer = await _ask(web, ElementOperation.SUBMIT, "GET", f"{self._jobs}/{name}")
        found = _decoded(ElementOperation.SUBMIT, answer, SingleKubernetesJob)
        if found.metadata.annotations.get(STAMP) != stamp:
            raise Denied(ElementOperation.SUBMIT, f"there is a Job {name} already that is not ours")
        return found

    async def _finish(self, web: ElementHttp, request: PilotRequest, made: KubernetesJob) -> None:
        """Send a Job its script and start it. Both steps are idempotent."""
        name = job_name(request.stamp)
        if made.metadata.name != name or not made.metadata.uid:
            raise ElementUnreachable(
                ElementOperation.SUBMIT, f"it created a Job {made.metadata.name[:80]!r}"
            )
        given = secret(name, made.metadata.uid, request.script)
        try:
            await _ask(
                web,
                ElementOperation.SUBMIT,
                "POST",
                f"{self._core}/secrets?{_STRICT}",
                content=msgspec.json.encode(given),
            )
        except _Conflict:
            pass
        if not self._options.queue and made.spec.suspend is not False:
            await self._patch(
                web, ElementOperation.SUBMIT, f"{self._jobs}/{name}", {"suspend": False}
            )

    async def find(self, stamps: Sequence[str]) -> dict[str, str]:
        """Return the Jobs of these pilots. Raises as all calls do."""
        async with self._open() as web:
            jobs = await self._list(web, ElementOperation.STATES, self._jobs, KubernetesJobList)
        found = {one.metadata.annotations.get(STAMP): one.metadata.name for one in jobs}
        return {stamp: found[stamp] for stamp in stamps if is_name(found.get(stamp, ""))}

    async def states(self, slots: Sequence[str]) -> dict[str, Slot]:
        """Return the states of pilots, from lists of Jobs and Pods. Raises as all calls do."""
        async with self._open() as web:
            jobs = await self._list(web, ElementOperation.STATES, self._jobs, KubernetesJobList)
            pods = await self._pods(web, ElementOperation.STATES)
        by_name = {one.metadata.name: one for one in jobs}
        gone = Slot(SlotState.GONE)
        return {
            name: slot(by_name[name], pods.get(name)) if name in by_name else gone for name in slots
        }

    async def cancel(self, slots: Sequence[str]) -> None:
        """End pilots softly; the Pod of a running one stays, so that its output can be read.

        Raises as all calls do.
        """
        names = [one for one in slots if is_name(one)]
        async with self._open() as web:
            pods = await self._pods(web, ElementOperation.CANCEL) if names else {}

            async def one(name: str) -> None:
                pod = pods.get(name)
                if pod is None or not (pod.is_running or pod.is_over):
                    await self._delete(web, ElementOperation.CANCEL, name)
                elif pod.is_running and pod.spec.active_deadline_seconds != 1:
                    await self._end(web, name, pod)

            await for_each(names, one)

    async def _end(self, web: ElementHttp, name: str, pod: Pod) -> None:
        """Set the deadline of a Pod to now; if that is not allowed, delete its Job."""
        try:
            path = f"{self._core}/pods/{_name_of(pod)}"
            await self._patch(web, ElementOperation.CANCEL, path, {"activeDeadlineSeconds": 1})
        except Denied:
            await self._delete(web, ElementOperation.CANCEL, name)

    async def output(self, slot: str) -> PilotOutput:
        """Return the end of its container's output, with the errors. Raises as all calls do."""
        if not is_name(slot):
            return PilotOutput()
        async with self._open() as web:
            pod = (await self._pods(web, ElementOperation.OUTPUT, slot)).get(slot)
            if pod is None:
                return PilotOutput()
            query = urlencode({"container": CONTAINER, "tailLines": LOG_LINES})
            answer = await web.ask(
                ElementOperation.OUTPUT,
                "GET",
                f"{self._core}/pods/{_name_of(pod)}/log?{query}",
                headers={"accept": "*/*"},
                most=LOG_READ_MAX_BYTES,
            )
            if answer.status in (400, 404):  # it has not started, or its node is gone
                return PilotOutput()
            return PilotOutput(
                stdout=_judged(ElementOperation.OUTPUT, answer).said[-OUTPUT_MAX_BYTES:]
            )

    async def forget(self, slots: Sequence[str]) -> None:
        """Delete Jobs, and with them their Pods and Secrets. Raises as all calls do."""
        async with self._open() as web:

            async def one(name: str) -> None:
                await self._delete(web, ElementOperation.OUTPUT, name)

            await for_each([name for name in slots if is_name(name)], one)

    async def _delete(self, web: ElementHttp, step: ElementOperation, name: str) -> None:
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",  # the default would keep the Pods
        }
        try:
            await _ask(
                web, step, "DELETE", f"{self._jobs}/{name}", content=msgspec.json.encode(options)
            )
        except _NotThere:
            return

    async def _patch(
        self, web: ElementHttp, step: ElementOperation, path: str, spec: dict[str, Any]
    ) -> None:
        content = msgspec.json.encode({"spec": spec})
        await _ask(web, step, "PATCH", f"{path}?{_STRICT}", content=content, headers=_MERGE)

    async def _pods(
        self, web: ElementHttp, step: ElementOperation, name: str = ""
    ) -> dict[str, Pod]:
        selector = f"{OURS},{STAMP}={name}" if name else OURS
        return pods_by_job(await self._list(web, step, f"{self._core}/pods", PodList, selector))

    async def _list(
        self,
        web: ElementHttp,
        step: ElementOperation,
        path: str,
        type_: type[ObjectList[T]],
        selector: str = OURS,
    ) -> list[T]:
        """Return all our objects, page by page. A list that expired (410) is started again."""
        for _ in range(LISTS_MAX):
            try:
                return await self._pages(web, step, path, type_, selector)
            except _Expired:
                continue
        raise ElementUnreachable(step, "its lists expire before they are read to their end (410)")

    async def _pages(
        self,
        web: ElementHttp,
        step: ElementOperation,
        path: str,
        type_: type[ObjectList[T]],
        selector: str,
    ) -> list[T]:
        query: dict[str, str | int] = {"labelSelector": selector, "limit": PAGE}
        found: list[T] = []
        for _ in range(PAGES_MAX):
            answer = await _ask(web, step, "GET", f"{path}?{urlencode(query)}")
            page = _decoded(step, answer, type_)
            found += page.items or []
            if not page.metadata.continue_:
                return found
            if len(found) > LISTED_MAX:
                break
            query["continue"] = page.metadata.continue_
        raise ElementUnreachable(step, f"its list has no end after {len(found)} entries")


class _NotThere(Denied):
    """404: there is no such object."""


class _Conflict(Denied):
    """409: the object exists already."""


class _Expired(ElementUnreachable):
    """410: the rest of a list has expired."""


class _Status(msgspec.Struct, frozen=True):
    message: str = ""
    reason: str = ""


async def _ask(
    web: ElementHttp,
    step: ElementOperation,
    method: str,
    path: str,
    *,
    content: bytes = b"",
    headers: dict[str, str] | None = None,
) -> WebReply:
    """Return a successful answer.

    Raises Denied (also _NotThere, _Conflict and _Expired) and ElementUnreachable.
    """
    given = headers or (_JSON if content else None)
    answer = await web.ask(
        step, method, path, content=content, headers=given, most=ANSWER_MAX_BYTES
    )
    return _judged(step, answer)


def _judged(step: ElementOperation, answer: WebReply) -> WebReply:
    status = answer.status
    if 200 <= status < 300:
        return answer
    text = f"{status}: {_message(answer.said)}"
    if status == 401:
        raise Denied(
            ElementOperation.AUTHORISE, f"{text}: the token has expired or is of another cluster"
        )
    if status == 403:
        raise Denied(step if "exceeded quota" in text else ElementOperation.AUTHORISE, text)
    if status == 404:
        raise _NotThere(step, text)
    if status == 409:
        raise _Conflict(step, text)
    if status == 410:
        raise _Expired(step, text)
    if status == 429:
        raise ElementUnreachable(step, f"{text}: the central asks too often")
    if status in LATER:
        raise ElementUnreachable(step, text)
    if 400 <= status < 500:
        raise Denied(step, text)
    raise ElementUnreachable(step, text)


def _message(said: bytes) -> str:
    """Return the message of a Status, or else the answer as it is."""
    try:
        status = msgspec.json.decode(said, type=_Status)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        status = _Status()
    return one_line(status.message or status.reason or said[:300].decode("utf-8", "replace"))


def _decoded(step: ElementOperation, answer: WebReply, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.said, type=type_)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as why:
        raise ElementUnreachable(step, f"the answer is {answer.said[:200]!r}: {why}") from None


def _name_of(pod: Pod) -> str:
    """Return the name of a Pod, which becomes part of a path. Raises ElementUnreachable."""
    if not is_name(pod.metadata.name):
        raise ElementUnreachable(
            ElementOperation.STATES, f"it reports a Pod {pod.metadata.name[:80]!r}"
        )
    return pod.metadata.name


def _check_use(options: KubernetesOptions, use: ElementTraits) -> None:
    if not use.has_credential:
        raise BadOptions(NO_CREDENTIAL)
    check_nodes(options, use)


DRIVER = Driver(KubernetesOptions, Kubernetes, files=("ca_file",), check_use=_check_use)
