"""What Kubernetes says of a Pod, and what pilots are to it."""

import json
from typing import Any

import msgspec
import pytest

from pilotage.central.factory.element import PilotRequest, Slot, SlotState
from pilotage.central.factory.elements import kubernetes_objects as objects
from pilotage.central.factory.errors import Denied

REQUIRED = {"url": "https://k8s.example.org:6443", "namespace": "pilots", "image": "pilot:1"}
STAMP = "cloud-12345678"
JOB = {"metadata": {"name": STAMP}, "spec": {"suspend": False}}


def options(**given: Any) -> objects.KubernetesOptions:
    return msgspec.convert({**REQUIRED, **given}, objects.KubernetesOptions)


def waiting(reason: str, message: str) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [{"name": "pilot", "state": state}]}


def terminated(code: int, why: str, **more: Any) -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "reason": why}}
    phase = "Failed" if code else "Succeeded"
    return {"phase": phase, "containerStatuses": [{"name": "pilot", "state": state}], **more}


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    told = {"type": kind, "status": status, "reason": reason, "message": message}
    return {"conditions": [told]}


FULL = condition("PodScheduled", "False", "Unschedulable", "0/3 nodes: 3 Insufficient cpu.")
PREEMPTED = condition("DisruptionTarget", "True", "PreemptionByScheduler", "for another")
Q, R, E, H = SlotState.QUEUED, SlotState.RUNNING, SlotState.ENDED, SlotState.HELD
PODS: dict[str, tuple[dict[str, Any], Slot]] = {
    "new": ({"phase": "Pending"}, Slot(Q)),
    "no node has room": (
        {"phase": "Pending", **FULL},
        Slot(Q, why="Unschedulable: 0/3 nodes: 3 Insufficient cpu."),
    ),
    "its image comes": (waiting("ContainerCreating", ""), Slot(Q)),
    "its image did not come once": (waiting("ErrImagePull", "no route"), Slot(Q)),
    "its image does not come": (
        waiting("ImagePullBackOff", "Back-off pulling image"),
        Slot(H, why="ImagePullBackOff: Back-off pulling image"),
    ),
    "no image has this name": (waiting("InvalidImageName", ""), Slot(H, why="InvalidImageName")),
    "its secret is not there": (
        waiting("CreateContainerConfigError", 'secret "x" not found'),
        Slot(H, why='CreateContainerConfigError: secret "x" not found'),
    ),
    "running": ({"phase": "Running"}, Slot(R)),
    "its node is lost": (
        {"phase": "Running", "reason": "NodeLost", "message": "Node n1 is gone"},
        Slot(R, why="NodeLost: Node n1 is gone"),
    ),
    "nobody knows": ({"phase": "Unknown"}, Slot(R)),
    "well": (terminated(0, "Completed"), Slot(E, 0)),
    "with a code": (terminated(3, "Error"), Slot(E, 3)),
    "out of memory": (terminated(137, "OOMKilled"), Slot(E, 137, "OOMKilled")),
    "evicted before it began": (
        {"phase": "Failed", "reason": "Evicted", "message": "The node had\ncondition: [Disk]"},
        Slot(E, why="Evicted: The node had condition: [Disk]"),
    ),
    "too late": (
        terminated(143, "Error", reason="DeadlineExceeded", message="too long"),
        Slot(E, 143, "DeadlineExceeded: too long"),
    ),
    "for another": (
        terminated(137, "Error", **PREEMPTED),
        Slot(E, 137, "PreemptionByScheduler: for another"),
    ),
    "with a code that is none": (terminated(2**40, "Error"), Slot(E)),
}


def pod(status: dict[str, Any], **about: Any) -> objects.Pod:
    labels = {objects.STAMP: STAMP}
    words = {"metadata": {"name": f"{STAMP}-x", "labels": labels, **about}, "status": status}
    return msgspec.json.decode(json.dumps(words), type=objects.Pod)


@pytest.mark.parametrize("name", PODS)
def test_where_a_pod_stands_is_where_its_pilot_stands(name: str) -> None:
    status, wanted = PODS[name]

    assert objects.slot(msgspec.convert(JOB, objects.KubernetesJob), pod(status)) == wanted


FAILED = condition("Failed", "True", "BackoffLimitExceeded", "Job has reached it")
QUEUED_BY_KUEUE = {"name": STAMP, "labels": {"kueue.x-k8s.io/queue-name": "q"}}
JOBS: dict[str, tuple[dict[str, Any], Slot]] = {
    "its Pod will come": (JOB, Slot(Q)),
    "its Pod was removed": (
        {**JOB, "status": FAILED},
        Slot(E, why="BackoffLimitExceeded: Job has reached it"),
    ),
    "cut short": (
        {**JOB, "spec": {"suspend": True}},
        Slot(H, why="the Job is suspended: its submission was interrupted"),
    ),
    "Kueue lets it wait": ({"metadata": QUEUED_BY_KUEUE, "spec": {"suspend": True}}, Slot(Q)),
    "it is being removed": (
        {"metadata": {"name": STAMP, "deletionTimestamp": "2026-01-01T00:00:00Z"}},
        Slot(SlotState.GONE),
    ),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_without_a_pod_says_itself_where_it_stands(name: str) -> None:
    job, wanted = JOBS[name]

    assert objects.slot(msgspec.convert(job, objects.KubernetesJob), None) == wanted


def test_of_several_pods_of_a_job_one_that_is_not_over_counts() -> None:
    ended = pod(terminated(1, "Error"), creationTimestamp="2026-01-02T00:00:00Z")
    runs = pod({"phase": "Running"}, creationTimestamp="2026-01-01T00:00:00Z")

    assert objects.pods_by_job([runs, ended]) == {STAMP: runs}


@pytest.mark.parametrize("stamp", ["cloud-12345678", f"{'long-' * 12}abcd", "ends-with-a-dash-"])
def test_a_stamp_of_any_form_gives_a_name_that_kubernetes_takes(stamp: str) -> None:
    request = PilotRequest(stamp, b"#!/bin/sh\n")

    job = objects.job(request, options())

    name = job["metadata"]["name"]
    assert objects.is_name(name)
    assert name.startswith(stamp[:10])
    assert job["metadata"]["labels"][objects.STAMP] == name
    assert job["metadata"]["annotations"][objects.STAMP] == stamp


def test_stamps_that_are_too_long_and_nearly_the_same_give_two_names() -> None:
    assert objects.job_name("a" * 63 + "b") != objects.job_name("a" * 63 + "c")


def test_a_pod_asks_for_what_the_pilot_was_planned_with() -> None:
    request = PilotRequest(STAMP, b"", cores=4, memory_mb=8_000, wall_s=3_600, gpus=2)

    spec = objects.job(request, options())["spec"]["template"]["spec"]

    wanted = {"cpu": "4", "memory": "8000M", "nvidia.com/gpu": "2"}
    assert spec["containers"][0]["resources"] == {"requests": wanted, "limits": wanted}
    assert spec["activeDeadlineSeconds"] == 3_600 + objects.PULL_S


def test_the_script_is_in_the_secret_alone() -> None:
    request = PilotRequest(STAMP, b"#!/bin/sh\n: one-use-secret\n")

    job = json.dumps(objects.job(request, options()))
    secret = objects.secret(STAMP, "uid-7", request.script)

    assert "one-use-secret" not in job
    assert secret["metadata"]["ownerReferences"][0]["uid"] == "uid-7"


def test_a_whole_node_needs_a_word_on_what_that_is() -> None:
    request = PilotRequest(STAMP, b"", cores=0)

    with pytest.raises(Denied, match="node_cores is not set"):
        objects.job(request, options())

    pod = objects.job(request, options(node_cores=64))["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["cpu"] == "64"


@pytest.mark.parametrize(
    ("mount", "told"),
    [
        ({"path": "/cvmfs"}, "needs either claim or host_path"),
        ({"path": "/cvmfs", "claim": "c", "host_path": "/cvmfs"}, "needs either"),
        ({"path": "/tmp/", "claim": "c"}, "is used by pilotage"),
    ],
)
def test_a_mount_that_cannot_be_is_refused(mount: dict[str, Any], told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        options(mounts=[mount])
