"""The usable GPUs: those that the vendors' tools show and the batch system permits."""

from collections.abc import Sequence
from typing import Optional

from ..gpus import NO_GPUS, Gpus
from . import amd, nvidia
from .accelerator import Accelerator
from .batch_systems.batch_job import BatchJob
from .finding import SourcedValue
from .surroundings import Surroundings

GPUS_MAX = 1024  # maximum of an offer
_TOOLS = {"nvidia": "nvidia-smi", "amd": "rocm-smi"}
_VISIBLE = {
    "nvidia": ("CUDA_VISIBLE_DEVICES",),
    "amd": ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
}
# Set by a container's creator. Inside, the tool shows the permitted GPUs, except for parts of a
# GPU.
_LET_IN = "NVIDIA_VISIBLE_DEVICES"


def gpus(around: Surroundings, jobs: Sequence[BatchJob] = ()) -> SourcedValue[Gpus]:
    """Return the GPUs to offer: all of one kind, the most frequent one."""
    shown: list[Accelerator] = []
    notes: list[str] = []
    for vendor in (nvidia, amd):
        if vendor.may_be_there(around):
            found, note = vendor.gpus(around)
            shown += found
            notes += [note] if note else []
    if not shown:
        if notes:
            return SourcedValue(NO_GPUS, "", tuple(notes))
        return SourcedValue(NO_GPUS, "no driver of a GPU is loaded")
    ours: list[Accelerator] = []
    sources: list[str] = []
    for name in _TOOLS:
        of_vendor = [one for one in shown if one.vendor == name]
        if of_vendor:
            kept, source = _ours(around, jobs, name, of_vendor)
            ours += kept
            sources.append(source)
            if len(kept) < len(of_vendor):
                notes.append(f"{source}: {len(kept)} of {len(of_vendor)} are ours")
    return _one_kind(ours, " and ".join(sources), notes)


def _ours(
    around: Surroundings, jobs: Sequence[BatchJob], vendor: str, shown: list[Accelerator]
) -> tuple[list[Accelerator], str]:
    """Return the usable GPUs of one vendor, and the source."""
    tool = _TOOLS[vendor]
    for name in _VISIBLE[vendor]:
        said = around.environ.get(name)
        if said is not None:
            return _named(said.split(","), shown), f"{tool}, {name}"
    for job in jobs:
        given = job.gpus.value
        if given is not None:
            # If the system hides the other GPUs, the usable ones are numbered from 0.
            ours = shown if len(given) == len(shown) else _named(given, shown)
            return ours, f"{tool}, {job.gpus.source}"
    if any(job.confines_gpus for job in jobs):
        return [], f"{tool}; {jobs[0].system} assigned none"
    let_in = _named(around.environ.get(_LET_IN, "").split(","), shown)
    return (let_in, f"{tool}, {_LET_IN}") if let_in else (shown, tool)


def _named(words: Sequence[str], shown: list[Accelerator]) -> list[Accelerator]:
    """Return the GPUs that are named by index, UUID, or the start of a UUID.

    Like the driver, it stops at the first word that names none: `none`, `NoDevFiles`, 10000.
    """
    found: list[Accelerator] = []
    for word in words:
        one = _find(word.strip(), shown)
        if one is None or one in found:
            break
        found.append(one)
    return found


def _find(word: str, shown: list[Accelerator]) -> Optional[Accelerator]:
    if word.isdecimal():
        return next((one for one in shown if one.index == word), None)
    return next((one for one in shown if len(word) > 3 and one.uuid.startswith(word)), None)


def _one_kind(ours: list[Accelerator], source: str, notes: Sequence[str]) -> SourcedValue[Gpus]:
    kinds: dict[tuple[str, str, int, str, str], list[Accelerator]] = {}
    for one in ours:
        kind = (one.vendor, one.model, one.memory_mb, one.compute_capability, one.driver)
        kinds.setdefault(kind, []).append(one)
    if not kinds:
        return SourcedValue(NO_GPUS, source, tuple(notes))
    (vendor, model, memory_mb, capability, driver), most = max(
        kinds.items(), key=lambda item: (len(item[1]), item[0][2])
    )
    left = len(ours) - len(most)
    mixed = (f"{left} of another kind are not offered",) if left else ()
    most = most[:GPUS_MAX]
    return SourcedValue(
        Gpus(
            count=len(most),
            model=model,
            vendor=vendor,
            memory_mb=memory_mb,
            compute_capability=capability,
            driver=driver,
            # Two halves of an AMD card have the same id.
            devices=tuple(one.index if vendor == "amd" else one.uuid or one.index for one in most),
        ),
        source,
        (*notes, *mixed),
    )
