"""Objects of Kubernetes: those of a pilot, and those that are read. Pure.

A pilot is a Job whose name is its stamp, with one Pod. Its script, which contains its secret, is in
a Secret of the same name. The Job owns the Secret, so deleting the Job deletes all of them.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

from pilotage.proto.decoding.patterns import whole

from ..element import PilotRequest, Slot, SlotState
from ..errors import Denied, ElementOperation
from .option_types import HttpsUrl, Path, PathOrNone

T = TypeVar("T")
NAME_MAX = 63  # of a Job, because its name becomes a label of its Pod
OURS = "app.kubernetes.io/managed-by=pilotage"
STAMP = "pilotage/stamp"  # label: the name of the Job; annotation: the stamp itself
CONTAINER = "pilot"
QUEUE = "kueue.x-k8s.io/queue-name"
PULL_S = 900  # a Pod's time limit includes this time before its pilot runs
WHY_MAX = 500
_SCRIPTS = "/pilotage"  # folder of the script in the container
_WORK = "/tmp"
_LABEL = "[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_DNS = "[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
_NAME = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NAMED = "a Kubernetes name: small letters, digits, - and ., with no - or . at its ends"
_Word = Annotated[str, Meta(pattern=whole(_DNS), description=_NAMED)]
_WordOrNone = Annotated[str, Meta(pattern=whole(f"({_DNS})?"), description=_NAMED)]
_Key = Annotated[
    str,
    Meta(
        pattern=whole(f"({_DNS}/)?{_LABEL}"),
        description="a Kubernetes label key, such as disk or example.org/disk",
    ),
]
_Value = Annotated[
    str,
    Meta(
        pattern=whole(f"({_LABEL})?"),
        description="a Kubernetes label value: at most 63 letters, digits, -, _ and .,"
        " with a letter or digit at its ends",
    ),
]
# waiting does not mend these
_STUCK = frozenset(
    {
        *("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"),
        *("CreateContainerConfigError", "CreateContainerError", "RunContainerError"),
    }
)
_PLAIN_ENDS = ("", "Completed", "Error")  # of a container: its exit code is enough


class Toleration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A taint of nodes that pilots tolerate."""

    key: _Key
    operator: Literal["Exists", "Equal"] = "Exists"
    value: _Value = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""


class VolumeMount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A claim or node folder that pilots see besides their image."""

    path: Path
    claim: _WordOrNone = ""
    host_path: PathOrNone = ""
    read_only: bool = True

    def __post_init__(self) -> None:
        if bool(self.claim) == bool(self.host_path):
            raise ValueError("needs either claim or host_path")
        if (self.path.rstrip("/") or "/") in ("/", _SCRIPTS, _WORK):
            raise ValueError(f"path: {self.path} is used by pilotage; choose another path")


class KubernetesOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of an element of kind `kubernetes`."""

    url: HttpsUrl
    namespace: Annotated[
        str,
        Meta(
            pattern=whole(_NAME.pattern),
            description="at most 63 small letters, digits and -, with no - at its ends",
        ),
    ]
    image: Annotated[
        str, Meta(pattern=whole("[A-Za-z0-9][A-Za-z0-9._:/@-]*"), max_length=512)
    ]  # image with sh and Python 3.9 or newer
    ca_file: PathOrNone = ""  # empty: the system's
    service_account: _WordOrNone = ""  # of the Pods; they get no token
    image_pull_secrets: tuple[_Word, ...] = ()
    node_selector: dict[_Key, _Value] = {}
    tolerations: tuple[Toleration, ...] = ()
    labels: dict[_Key, _Value] = {}
    priority_class: _WordOrNone = ""
    queue: _WordOrNone = ""  # LocalQueue of Kueue, which then starts the pilots
    mounts: tuple[VolumeMount, ...] = ()
    user_id: Annotated[int, Meta(ge=1, le=2_000_000_000)] = 1000  # user of the pilot, never root
    seccomp: Literal["RuntimeDefault", "Unconfined"] = "RuntimeDefault"
    scratch_mb: Annotated[int, Meta(ge=0, le=100_000_000)] = 0  # disk of a Pod; 0: no limit
    node_cores: Annotated[int, Meta(ge=0, le=4096)] = 0  # cores of a whole node; 0: no whole nodes
    gpu_resource: _Key = "nvidia.com/gpu"
    grace_s: Annotated[int, Meta(ge=1, le=86_400)] = 60  # time from the soft to the hard end
    timeout_s: Annotated[float, Meta(gt=0, le=600)] = 30.0  # of one request


def job_name(stamp: str) -> str:
    """Return the name of a pilot's Job: its stamp if that is valid, else a shortened one."""
    if _NAME.fullmatch(stamp):
        return stamp
    number = hashlib.sha256(stamp.encode()).hexdigest()[:16]
    return f"{stamp[: NAME_MAX - 17].rstrip('-')}-{number}"


def is_name(text: str) -> bool:
    """Return whether a text can be a slot, which becomes part of a path."""
    return _NAME.fullmatch(text) is not None


def job(request: PilotRequest, options: KubernetesOptions) -> dict[str, Any]:
    """Return the Job of a pilot; it is suspended until its script has been sent.

    Raises Denied if it needs a whole node whose size is unknown.
    """
    name = job_name(request.stamp)
    labels = {**options.labels, "app.kubernetes.io/managed-by": "pilotage", STAMP: name}
    # Otherwise a shrinking cluster would evict running pilots.
    annotations = {STAMP: request.stamp, "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "labels": {**labels, **({QUEUE: options.queue} if options.queue else {})},
            "annotations": annotations,
        },
        "spec": {
            "suspend": True,
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,  # a pilot starts only once, because its secret is used up
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": _pod(request, options, name),
            },
        },
    }


def _pod(request: PilotRequest, options: KubernetesOptions, name: str) -> dict[str, Any]:
    user = options.user_id
    # The deadline is set on the Pod: one on the Job would count the time in the queue, and would
    # delete the Pod with its output.
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": options.grace_s,
        "activeDeadlineSeconds": request.wall_s + PULL_S if request.wall_s else None,
        "automountServiceAccountToken": False,  # payloads may not call the cluster
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": user,
            "fsGroup": user,
            "seccompProfile": {"type": options.seccomp},
        },
        "serviceAccountName": options.service_account,
        "priorityClassName": options.priority_class,
        "nodeSelector": options.node_selector,
        "imagePullSecrets": [{"name": one} for one in options.image_pull_secrets],
        "tolerations": [_without_empty(msgspec.to_builtins(one)) for one in options.tolerations],
        "containers": [_container(request, options)],
        "volumes": [
            {"name": "script", "secret": {"secretName": name, "defaultMode": 0o440}},
            {"name": "work", "emptyDir": _without_empty({"sizeLimit": _mb(options.scratch_mb)})},
            *(_volume(number, mount) for number, mount in enumerate(options.mounts)),
        ],
    }
    return _without_empty(spec)


def _container(request: PilotRequest, options: KubernetesOptions) -> dict[str, Any]:
    cores = request.cores or options.node_cores
    if not cores:
        raise Denied(
            ElementOperation.SUBMIT, "the shape is a whole node, but node_cores is not set"
        )
    resources = _without_empty(
        {
            "cpu": str(cores),
            "memory": _mb(request.memory_mb),
            options.gpu_resource: str(request.gpus) if request.gpus else "",
        }
    )
    mounts: list[dict[str, Any]] = [
        {"name": "script", "mountPath": _SCRIPTS, "readOnly": True},
        {"name": "work", "mountPath": _WORK},
    ]
    for number, mount in enumerate(options.mounts):
        given = {"name": f"mount-{number}", "mountPath": mount.path, "readOnly": mount.read_only}
        # File systems that autofs mounts later on the node, such as CVMFS, must appear here too.
        mounts.append({**given, **({"mountPropagation": _SEEN} if mount.host_path else {})})
    return {
        "name": CONTAINER,
        "image": options.image,
        "command": ["sh", f"{_SCRIPTS}/pilot.sh"],
        "workingDir": _WORK,
        "env": [{"name": "HOME", "value": _WORK}, {"name": "TMPDIR", "value": _WORK}],
        "resources": {"requests": resources, "limits": resources},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


_SEEN = "HostToContainer"


def _volume(number: int, mount: VolumeMount) -> dict[str, Any]:
    name = f"mount-{number}"
    if mount.host_path:
        return {"name": name, "hostPath": {"path": mount.host_path}}
    claim = {"claimName": mount.claim, "readOnly": mount.read_only}
    return {"name": name, "persistentVolumeClaim": claim}


def _mb(megabytes: int) -> str:
    return f"{megabytes}M" if megabytes else ""


def _without_empty(words: Mapping[str, Any]) -> dict[str, Any]:
    """Return the words without those that are None or empty."""
    return {key: value for key, value in words.items() if value not in ("", None, [], {})}


def secret(name: str, job_uid: str, script: bytes) -> dict[str, Any]:
    """Return the Secret with a pilot's script, which is deleted with its Job."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job_uid}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/managed-by": "pilotage", STAMP: name},
            "ownerReferences": [owner],
        },
        "immutable": True,
        "data": {"pilot.sh": base64.b64encode(script).decode()},
    }


# -- objects that are read ------------------------------------------------------------------------


class _Read(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class ObjectMeta(_Read, frozen=True):
    """The metadata of an object."""

    name: str = ""
    uid: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class KubernetesCondition(_Read, frozen=True):
    """A condition: true, false or unknown."""

    type: str
    status: str = ""
    reason: str = ""
    message: str = ""


class _JobSpec(_Read, frozen=True):
    suspend: bool | None = None


class _JobStatus(_Read, frozen=True):
    conditions: list[KubernetesCondition] | None = None


class KubernetesJob(_Read, frozen=True):
    """The fields of a Job that are used here."""

    metadata: ObjectMeta
    spec: _JobSpec = _JobSpec()
    status: _JobStatus = _JobStatus()


class SingleKubernetesJob(KubernetesJob, frozen=True, kw_only=True):
    """A Job outside a list: it names its kind."""

    kind: Literal["Job"]


class _Waiting(_Read, frozen=True):
    reason: str = ""
    message: str = ""


class _Terminated(_Waiting, frozen=True):
    exit_code: int = -1


class _ContainerState(_Read, frozen=True):
    waiting: _Waiting | None = None
    terminated: _Terminated | None = None


class _ContainerStatus(_Read, frozen=True):
    name: str = ""
    state: _ContainerState = _ContainerState()


class _PodSpec(_Read, frozen=True):
    active_deadline_seconds: int | None = None


class _PodStatus(_Read, frozen=True):
    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[KubernetesCondition] | None = None
    container_statuses: list[_ContainerStatus] | None = None


class Pod(_Read, frozen=True):
    """The fields of a Pod that are used here."""

    metadata: ObjectMeta
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()

    @property
    def is_over(self) -> bool:
        """Whether none of its containers runs any more."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def is_running(self) -> bool:
        """Whether it has a container that may run, and was not deleted."""
        return self.status.phase in ("Running", "Unknown") and not self.metadata.deletion_timestamp


class _ListMeta(msgspec.Struct, frozen=True):
    continue_: str = msgspec.field(default="", name="continue")


class ObjectList(_Read, Generic[T], frozen=True):
    """A page of a list. It must name its kind; in any other answer, all pilots would seem gone."""

    metadata: _ListMeta = _ListMeta()
    items: list[T] | None = None


class KubernetesJobList(ObjectList[KubernetesJob], frozen=True, kw_only=True):
    """Jobs."""

    kind: Literal["JobList"]


class PodList(ObjectList[Pod], frozen=True, kw_only=True):
    """Pods."""

    kind: Literal["PodList"]


def pods_by_job(pods: Iterable[Pod]) -> dict[str, Pod]:
    """Return the Pod of each Job. Of several Pods, prefer one that is not over, then the latest."""

    def rank(pod: Pod) -> tuple[bool, str]:
        return not pod.is_over, pod.metadata.creation_timestamp or ""

    found: dict[str, Pod] = {}
    for pod in sorted(pods, key=rank):
        found[pod.metadata.labels.get(STAMP, "")] = pod
    return found


def slot(job: KubernetesJob, pod: Pod | None) -> Slot:
    """Return the state of a pilot in Kubernetes."""
    if pod is not None:
        return _of_pod(pod)
    for one in job.status.conditions or ():
        if one.type in ("Complete", "Failed") and one.status == "True":  # its Pod was deleted
            return Slot(SlotState.ENDED, why=_reason_text(one.reason, one.message))
    if job.metadata.deletion_timestamp:
        return Slot(SlotState.GONE)
    if job.spec.suspend and QUEUE not in job.metadata.labels:
        return Slot(SlotState.HELD, why="the Job is suspended: its submission was interrupted")
    return Slot(SlotState.QUEUED)


def _of_pod(pod: Pod) -> Slot:
    if pod.is_over:
        return _ended(pod)
    status = pod.status
    if status.phase != "Pending":  # Running, or Unknown if its node is lost
        return Slot(SlotState.RUNNING, why=_reason_text(status.reason, status.message))
    for one in _of_pilot(status.container_statuses):
        waiting = one.state.waiting
        if waiting is not None and waiting.reason in _STUCK:
            return Slot(SlotState.HELD, why=_reason_text(waiting.reason, waiting.message))
    for condition in status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return Slot(SlotState.QUEUED, why=_reason_text(condition.reason, condition.message))
    return Slot(SlotState.QUEUED, why=_reason_text(status.reason, status.message))


def _ended(pod: Pod) -> Slot:
    """Return the reason of an end: evicted, out of memory, past its time, or by itself."""
    whys = [_reason_text(pod.status.reason, pod.status.message)]
    for condition in pod.status.conditions or ():
        if condition.type == "DisruptionTarget" and condition.status == "True":
            whys.append(_reason_text(condition.reason, condition.message))
    code: int | None = None
    for one in _of_pilot(pod.status.container_statuses):
        ended = one.state.terminated
        if ended is not None:
            code = ended.exit_code if 0 <= ended.exit_code <= 255 else None
            if ended.reason not in _PLAIN_ENDS:
                whys.append(_reason_text(ended.reason, ended.message))
    return Slot(SlotState.ENDED, code, "; ".join(filter(None, whys))[:WHY_MAX])


def _of_pilot(statuses: Sequence[_ContainerStatus] | None) -> list[_ContainerStatus]:
    return [one for one in statuses or () if one.name == CONTAINER]


def _reason_text(reason: str, message: str) -> str:
    return one_line(": ".join(filter(None, (reason, message))))


def one_line(text: str) -> str:
    """Return words of the element in one line, fit for a log and the store."""
    printable = "".join(one if one.isprintable() else " " for one in text[: 4 * WHY_MAX])
    return " ".join(printable.split())[:WHY_MAX]
