"""An emulated Kubernetes: the part of its API that pilots use, with their Pods as local processes.

It is none: no scheduler, no images, no containers. What it answers follows the API's own rules:
TLS, bearer tokens, the verbs that a Role allows, strict fields, label selectors, lists in pages
that run out, names that are taken, suspended Jobs, deadlines of Pods, objects that go with their
owners.
"""

import base64
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import ssl
import subprocess
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pilotage.proto.trust import trusting
from tests.certificates import self_signed

from .kubernetes_fields import unknown_field

PAGE_MAX = 2  # a server may give less than it is asked for
LOOK_S = 0.02
_PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>batch)/v1)/namespaces/(?P<namespace>[^/]+)"
    r"/(?P<resource>[a-z]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[a-z]+))?)?"
)
_KINDS = {"jobs": "Job", "pods": "Pod", "secrets": "Secret"}
_NAME = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL = re.compile("([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
Object = dict[str, Any]
ROLE: tuple[Object, ...] = (
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["*"]},
    {"apiGroups": [""], "resources": ["pods", "pods/log", "secrets"], "verbs": ["*"]},
)


class Failed(Exception):
    """An answer that is no yes."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


@dataclass
class Running:
    """The process of a Pod."""

    process: subprocess.Popen[bytes]
    since: float
    log: Path
    told_at: float | None = None  # when it was told to end


@dataclass
class Kubernetes:
    """One cluster with one namespace, for one service account."""

    folder: Path
    namespace: str = "pilots"
    rules: Iterable[Object] = ROLE
    starts_pods: bool = True  # or they stay where a test puts them
    runs_out: int = 0  # so many of the next lists are gone before they are read to their end
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    objects: dict[tuple[str, str], Object] = field(default_factory=dict[tuple[str, str], Object])
    asked: list[str] = field(default_factory=list[str])  # "POST jobs", in their order

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._lists: dict[str, list[Object]] = {}
        self._running: dict[str, Running] = {}
        self._server: _Server | None = None
        self._threads: list[threading.Thread] = []
        self._ends = threading.Event()

    # -- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen on a port of its own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        pem = self_signed(self.folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self._server = _Server(self, context)
        for work in (self._server.serve_forever, self._control):
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            self._threads.append(thread)

    @property
    def ca_file(self) -> Path:
        return self.folder / "central.pem"

    def trusting(self) -> ssl.SSLContext:
        """Return what a client of its API needs."""
        return trusting(str(self.ca_file))

    @property
    def options(self) -> Object:
        """Return what an element of kind `kubernetes` has to know of it."""
        assert self._server is not None
        return {
            "url": f"https://127.0.0.1:{self._server.server_port}",
            "namespace": self.namespace,
            "image": "registry.example.org/pilot:1",
            "ca_file": str(self.ca_file),
        }

    def stop(self) -> None:
        """End it and all that runs in it."""
        self._ends.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        for thread in self._threads:
            thread.join(10)
        for running in self._running.values():
            _kill(running.process)
            running.process.wait(10)

    # -- what a test looks at ---------------------------------------------------------------------

    def of_kind(self, resource: str) -> list[Object]:
        """Return all objects of a kind, the oldest first."""
        with self._lock:
            return [one for (kind, _), one in self.objects.items() if kind == resource]

    def printed(self, job: str) -> bytes:
        """Return what the Pod of a Job has printed by now."""
        with self._lock:
            pod = self._pod_of(self.objects["jobs", job])
            running = None if pod is None else self._running.get(pod["metadata"]["name"])
        return b"" if running is None else running.log.read_bytes()

    def say(self, job: str, **status: Any) -> None:
        """Let the Pod of a Job say this of itself."""
        with self._lock:
            pod = self._pod_of(self.objects["jobs", job]) or self._make_pod(job)
            pod["status"] = status

    # -- requests -------------------------------------------------------------------------------

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> tuple[int, bytes]:
        """Return the code and the content of an answer. Raises Failed."""
        if headers.get("authorization") != f"Bearer {self.token}":
            raise Failed(401, "Unauthorized", "Unauthorized")
        split = urlsplit(target)
        found = _PATH.fullmatch(split.path)
        if found is None:
            raise Failed(404, "NotFound", "the server could not find the requested resource")
        query = {key: values[-1] for key, values in parse_qs(split.query).items()}
        resource, name, sub = found["resource"], found["name"], found["sub"]
        verb = _verb(method, name)
        self._allow(verb, found["group"] or "", f"{resource}/{sub}" if sub else resource, found)
        with self._lock:
            self.asked.append(f"{method} {resource}")
            if sub == "log":
                return 200, self._log(name, query)
            if verb == "list":
                return 200, _json(self._list(resource, query))
            if verb == "create":
                return 201, _json(self._create(resource, json.loads(body), query))
            one = self.objects.get((resource, name))
            if one is None:
                raise Failed(404, "NotFound", f'{resource} "{name}" not found')
            if verb == "patch":
                if headers.get("content-type") != "application/merge-patch+json":
                    raise Failed(415, "UnsupportedMediaType", "the body of a patch has no type")
                self._patch(resource, one, json.loads(body))
            elif verb == "delete":
                self._delete(resource, name, json.loads(body or b"{}"))
            kind = {"kind": _KINDS[resource], "apiVersion": _version(resource)}
            return 200, _json({**kind, **one})

    def _allow(self, verb: str, group: str, resource: str, found: re.Match[str]) -> None:
        if found["namespace"] == self.namespace:
            for rule in self.rules:
                if group in rule["apiGroups"] and resource in rule["resources"]:
                    if {verb, "*"} & set(rule["verbs"]):
                        return
        raise Failed(
            *(403, "Forbidden"),
            f'{resource} is forbidden: User "system:serviceaccount:{self.namespace}:pilotage" '
            f'cannot {verb} resource "{resource}" in API group "{group}" in the namespace '
            f'"{found["namespace"]}"',
        )

    def _list(self, resource: str, query: dict[str, str]) -> Object:
        token = query.get("continue", "")
        if token:
            if self.runs_out > 0 or token not in self._lists:
                self.runs_out -= 1
                raise Failed(410, "Expired", "The provided continue parameter is too old")
            left = self._lists.pop(token)
        else:
            wanted = [one.split("=", 1) for one in query.get("labelSelector", "").split(",") if one]
            left = [
                json.loads(_json(one))
                for one in self.of_kind(resource)
                if all(one["metadata"].get("labels", {}).get(key) == value for key, value in wanted)
            ]
        most = min(int(query.get("limit", 0)) or PAGE_MAX, PAGE_MAX)
        about: Object = {"resourceVersion": "1"}
        if left[most:]:
            about["continue"] = base64.urlsafe_b64encode(os.urandom(9)).decode() + "=="
            self._lists[about["continue"]] = left[most:]
        kind = {"kind": f"{_KINDS[resource]}List", "apiVersion": _version(resource)}
        return {**kind, "metadata": about, "items": left[:most]}

    def _create(self, resource: str, given: Object, query: dict[str, str]) -> Object:
        kind, name = _KINDS[resource], given.get("metadata", {}).get("name", "")
        if given.get("kind") != kind:
            raise Failed(400, "BadRequest", f"the object provided is no {kind}")
        odd = unknown_field(kind, given)
        if odd and query.get("fieldValidation") == "Strict":
            raise Failed(400, "BadRequest", f'strict decoding error: unknown field "{odd}"')
        wrong = _wrong(kind, given)
        if wrong:
            raise Failed(422, "Invalid", f'{kind} "{name}" is invalid: {wrong}')
        if (resource, name) in self.objects:
            raise Failed(409, "AlreadyExists", f'{resource} "{name}" already exists')
        given["metadata"] |= {
            "uid": str(uuid.uuid4()),
            "namespace": self.namespace,
            "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        if resource == "jobs":
            given["status"] = {}
        self.objects[resource, name] = given
        return given

    def _patch(self, resource: str, one: Object, given: Object) -> None:
        allowed = {"jobs": {"suspend"}, "pods": {"activeDeadlineSeconds"}}[resource]
        if set(given) != {"spec"} or set(given["spec"]) - allowed:
            raise Failed(422, "Invalid", "spec: field is immutable")
        one["spec"] |= given["spec"]

    def _delete(self, resource: str, name: str, options: Object) -> None:
        if options.get("kind", "DeleteOptions") != "DeleteOptions":
            raise Failed(400, "BadRequest", "no DeleteOptions")
        owner = self.objects.pop((resource, name))["metadata"]["uid"]
        if options.get("propagationPolicy") not in ("Background", "Foreground"):
            return  # as for Jobs by default: what it owns stays
        for key, one in list(self.objects.items()):
            if any(ref["uid"] == owner for ref in one["metadata"].get("ownerReferences", ())):
                if key[1] in self._running and key[0] == "pods":
                    one["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"  # it ends softly
                else:
                    del self.objects[key]

    def _log(self, name: str, query: dict[str, str]) -> bytes:
        pod, running = self.objects.get(("pods", name)), self._running.get(name)
        if pod is None:
            raise Failed(404, "NotFound", f'pods "{name}" not found')
        container = pod["spec"]["containers"][0]["name"]
        if query.get("container", container) != container:
            raise Failed(400, "BadRequest", f"container is not valid for pod {name}")
        if running is None:
            words = f'container "{container}" in pod "{name}" is waiting to start'
            raise Failed(400, "BadRequest", words)
        lines = running.log.read_bytes().splitlines(keepends=True)
        return b"".join(lines[-int(query.get("tailLines", len(lines))) or len(lines) :])

    # -- what controllers and kubelets do ---------------------------------------------------------

    def _control(self) -> None:
        while not self._ends.wait(LOOK_S):
            with self._lock:
                for job in self.of_kind("jobs"):
                    self._look_after_job(job)
                for pod in self.of_kind("pods"):
                    self._look_after_pod(pod)

    def _look_after_job(self, job: Object) -> None:
        pod = self._pod_of(job)
        over = {one["type"] for one in job["status"].get("conditions", ())}
        if over or not self.starts_pods:
            return
        if pod is None and not job["spec"].get("suspend"):
            self._make_pod(job["metadata"]["name"])
        elif pod is not None and pod["status"]["phase"] in ("Succeeded", "Failed"):
            good = pod["status"]["phase"] == "Succeeded"
            reason = "CompletionsReached" if good else "BackoffLimitExceeded"
            condition = {"type": "Complete" if good else "Failed", "reason": reason}
            job["status"]["conditions"] = [{**condition, "status": "True"}]

    def _pod_of(self, job: Object) -> Object | None:
        uid = job["metadata"]["uid"]
        for pod in self.of_kind("pods"):
            if pod["metadata"]["ownerReferences"][0]["uid"] == uid:
                return pod
        return None

    def _make_pod(self, job_name: str) -> Object:
        job = self.objects["jobs", job_name]
        template = job["spec"]["template"]
        name = f"{job_name[:57]}-{secrets.token_hex(3)[:5]}"
        owner = {"kind": "Job", "name": job_name, "uid": job["metadata"]["uid"]}
        pod = self.objects["pods", name] = {
            "metadata": {
                **json.loads(_json(template["metadata"])),
                "name": name,
                "ownerReferences": [owner],
                "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
            "spec": json.loads(_json(template["spec"])),
            "status": {"phase": "Pending"},
        }
        return pod

    def _look_after_pod(self, pod: Object) -> None:
        name, about = pod["metadata"]["name"], pod["metadata"]
        running = self._running.get(name)
        if running is None:
            if self.starts_pods and pod["status"]["phase"] == "Pending":
                self._start_pod(name, pod)
            return
        late = time.monotonic() - running.since > pod["spec"].get("activeDeadlineSeconds", 1e9)
        if running.process.poll() is None and (late or "deletionTimestamp" in about):
            if running.told_at is None:  # only the first process hears of it
                running.told_at = time.monotonic()
                running.process.send_signal(signal.SIGTERM)
            grace_s = pod["spec"]["terminationGracePeriodSeconds"]
            if time.monotonic() - running.told_at > grace_s:
                _kill(running.process)
        elif running.process.poll() is not None:
            _kill(running.process)  # with its first process all of a container ends
            if "deletionTimestamp" in about:
                del self.objects["pods", name]
                del self._running[name]
            elif pod["status"]["phase"] == "Running":
                pod["status"] = _ended(running.process.returncode, is_late=late)

    def _start_pod(self, name: str, pod: Object) -> None:
        spec = pod["spec"]
        container = spec["containers"][0]
        here = self.folder / "pods" / name
        places: dict[str, Path] = {}
        for mount in container["volumeMounts"]:
            volume = next(one for one in spec["volumes"] if one["name"] == mount["name"])
            place = places[mount["mountPath"]] = here / mount["name"]
            if "secret" in volume:
                found = self.objects.get(("secrets", volume["secret"]["secretName"]))
                if found is None:  # the kubelet tries again until it is there
                    shutil.rmtree(here, ignore_errors=True)
                    return
                place.mkdir(parents=True, exist_ok=True)
                for key, data in found["data"].items():
                    (place / key).write_bytes(base64.b64decode(data, validate=True))
            else:
                place.mkdir(parents=True, exist_ok=True)
        with (here / "log").open("wb") as log:
            process = subprocess.Popen(
                [_placed(word, places) for word in container["command"]],
                cwd=_placed(container["workingDir"], places),
                env={
                    "PATH": os.environ["PATH"],
                    "KUBERNETES_SERVICE_HOST": "192.0.2.1",
                    **{one["name"]: _placed(one["value"], places) for one in container["env"]},
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running[name] = Running(process, time.monotonic(), here / "log")
        pod["status"] = {"phase": "Running"}


def _json(words: Object) -> bytes:
    return json.dumps(words).encode()


def _version(resource: str) -> str:
    return "batch/v1" if resource == "jobs" else "v1"


def _verb(method: str, name: str | None) -> str:
    if method == "GET":
        return "get" if name else "list"
    return {"POST": "create", "PATCH": "patch", "DELETE": "delete"}[method]


def _wrong(kind: str, given: Object) -> str:
    """Return what the API server would refuse, as far as it is known here."""
    about = given["metadata"]
    if _NAME.fullmatch(about["name"]) is None:
        return "metadata.name: a lowercase RFC 1123 label is needed"
    for key, value in about.get("labels", {}).items():
        if _LABEL.fullmatch(value) is None:
            return f"metadata.labels: Invalid value: {value!r} of {key}"
    if kind != "Job":
        return ""
    pod = given["spec"]["template"]["spec"]
    volumes = [one["name"] for one in pod.get("volumes", ())]
    for container in pod["containers"]:
        for name, most in container["resources"].get("limits", {}).items():
            if re.fullmatch("[0-9]+[MGm]?", most) is None:
                return f"spec.template.spec.containers[0].resources.limits[{name}]: {most!r}"
        for mount in container["volumeMounts"]:
            if mount["name"] not in volumes:
                return f"volumeMounts: not found: {mount['name']!r}"
    if pod.get("restartPolicy") not in ("Never", "OnFailure"):
        return "spec.template.spec.restartPolicy: Required value"
    return "" if pod.get("activeDeadlineSeconds", 1) > 0 else "activeDeadlineSeconds: Invalid value"


def _placed(word: str, places: dict[str, Path]) -> str:
    """Return a path in the container as it is outside of it."""
    for inside, outside in places.items():
        if word == inside or word.startswith(f"{inside}/"):
            return f"{outside}{word[len(inside) :]}"
    return word


def _ended(code: int, *, is_late: bool) -> Object:
    code = 128 - code if code < 0 else code
    reason = "Error" if code else "Completed"
    terminated = {"exitCode": code, "reason": reason}
    status: Object = {
        "phase": "Failed" if code or is_late else "Succeeded",
        "containerStatuses": [{"name": "pilot", "state": {"terminated": terminated}}],
    }
    if is_late:
        words = "Pod was active on the node longer than the specified deadline"
        status |= {"reason": "DeadlineExceeded", "message": words}
    return status


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, cluster: Kubernetes, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.cluster, self._context = cluster, context

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self._context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: that a client goes in the middle is a part of many tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60.0

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        assert isinstance(self.server, _Server)
        try:
            code, said = self.server.cluster.answer(self.command, self.path, self.headers, body)
        except Failed as why:
            code, said = (
                why.code,
                _json(
                    {
                        "kind": "Status",
                        "apiVersion": "v1",
                        "status": "Failure",
                        "message": str(why),
                        "reason": why.reason,
                        "code": why.code,
                    }
                ),
            )
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = do_PATCH = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
