"""The assignment of GPUs to payloads: each GPU has at most one payload. Pure."""

from dataclasses import replace

from pilotage.proto.messages import Assignment

from ..gpus import Gpus

# The variables that the vendors' libraries read. Other vendors' libraries show all GPUs.
_VISIBLE = {"nvidia": "CUDA_VISIBLE_DEVICES", "amd": "ROCR_VISIBLE_DEVICES"}


class Devices:
    """The GPUs with known names. If the names are unknown, payloads share all GPUs."""

    def __init__(self, gpus: Gpus) -> None:
        self._variable = _VISIBLE.get(gpus.vendor, "")
        self._all = gpus.devices if len(gpus.devices) >= gpus.count else ()
        self._given: dict[int, tuple[str, ...]] = {}

    def give(self, assignment: Assignment) -> Assignment:
        """Return the assignment with the names of its GPUs in its payload's environment."""
        if not self._variable or not self._all:
            return assignment
        taken = {name for names in self._given.values() for name in names}
        free = [name for name in self._all if name not in taken]
        ours = tuple(free[: assignment.grant.gpus])
        assert len(ours) == assignment.grant.gpus, "slots gave more GPUs than there are"
        if ours:
            self._given[assignment.attempt_id] = ours
        environment = {**assignment.body.environment, self._variable: ",".join(ours)}
        return replace(assignment, body=replace(assignment.body, environment=environment))

    def take_back(self, attempt_id: int) -> None:
        """Release the GPUs of a payload that has ended or never started."""
        self._given.pop(attempt_id, None)
