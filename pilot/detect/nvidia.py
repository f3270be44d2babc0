"""GPUs of NVIDIA, from `nvidia-smi`."""

import re
from collections.abc import Iterator

from .accelerator import Accelerator
from .batch_systems.batch_job import MIB, megabytes
from .small_files import decimal, plain
from .surroundings import Surroundings

FORMAT = "--format=csv,noheader,nounits"
_FIELDS = "index,uuid,name,memory.total,driver_version"
QUERY = ("nvidia-smi", f"--query-gpu={_FIELDS},compute_cap,mig.mode.current", FORMAT)
OLD_QUERY = ("nvidia-smi", f"--query-gpu={_FIELDS}", FORMAT)  # old drivers refuse the other query
LIST = ("nvidia-smi", "-L")
_INDEX = re.compile(r"[0-9]{1,4}")
_VERSION = re.compile(r"[0-9]{1,9}(?:[.][0-9]{1,9}){0,4}")
_PART = re.compile(
    r"^\s+MIG\s+(?P<profile>\S{1,32})\s+Device\s+(?P<index>[0-9]{1,3}):\s+"
    r"\(UUID:\s*(?P<uuid>MIG-[A-Za-z0-9/-]{1,120})\)",
)
_OF_PROFILE = re.compile(r"[.]([0-9]{1,4})gb")

# The compute capability of a model, if the driver is too old to report it.
_CAPABILITIES = (
    ("A100", "8.0"),
    ("A30", "8.0"),
    ("A40", "8.6"),
    ("A10", "8.6"),
    ("RTX A", "8.6"),
    ("H100", "9.0"),
    ("L40", "8.9"),
    ("V100", "7.0"),
    ("TITAN V", "7.0"),
    ("Tesla T4", "7.5"),
    ("RTX 2080", "7.5"),
    ("RTX 3090", "8.6"),
    ("P100", "6.0"),
    ("P40", "6.1"),
    ("GTX 1080", "6.1"),
    ("M60", "5.2"),
    ("K80", "3.7"),
    ("K40", "3.5"),
    ("K20", "3.5"),
)


def may_be_there(around: Surroundings) -> bool:
    """Return whether it makes sense to ask: the driver is loaded or its devices exist."""
    return around.is_there("/proc/driver/nvidia/version") or around.is_there("/dev/nvidiactl")


def gpus(around: Surroundings) -> tuple[tuple[Accelerator, ...], str]:
    """Return all GPUs that the tool shows, and the error if it shows none."""
    said = around.run(QUERY) or around.run(OLD_QUERY)
    if not said.strip():
        return (), "nvidia-smi has not answered"
    whole, refused = parse(said)
    note = f"nvidia-smi: {refused!r}" if refused else ""
    cut = frozenset(index for index, mode in _modes(said) if mode == "Enabled")
    if not cut:
        return whole, note
    # If a GPU is partitioned, only its parts can be used.
    parts = parse_parts(around.run(LIST), whole)
    return tuple(one for one in whole if one.index not in cut) + parts, note


def _modes(said: str) -> Iterator[tuple[str, str]]:
    for line in said.splitlines():
        fields = [word.strip() for word in line.split(",")]
        yield fields[0], fields[6] if len(fields) == 7 else ""


def parse(said: str) -> tuple[tuple[Accelerator, ...], str]:
    """Return the GPUs of a query, and the first invalid line."""
    found: list[Accelerator] = []
    refused = ""
    for line in said.splitlines():
        if not line.strip():
            continue
        fields = [plain(word) for word in line.split(",")]
        if not 5 <= len(fields) <= 7 or not _INDEX.fullmatch(fields[0]):
            refused = refused or plain(line, 80)
            continue
        index, uuid, model, memory, driver = fields[:5]
        said_capability = fields[5] if len(fields) > 5 else ""
        found.append(
            Accelerator(
                index=index,
                uuid=uuid,
                model=model,
                vendor="nvidia",
                memory_mb=megabytes(decimal(memory) * MIB),
                compute_capability=_version(said_capability) or _of_model(model),
                driver=_version(driver),
            )
        )
    return tuple(found), refused


def parse_parts(said: str, whole: tuple[Accelerator, ...]) -> tuple[Accelerator, ...]:
    """Return the parts (MIG) that the list shows below each GPU."""
    found: list[Accelerator] = []
    parents = {one.index: one for one in whole}
    parent = None
    for line in said.splitlines():
        gpu = re.match(r"GPU ([0-9]{1,4}):", line)
        if gpu:
            parent = parents.get(gpu.group(1))
        part = _PART.match(line)
        if part is None or parent is None:
            continue
        memory = _OF_PROFILE.search(part["profile"])
        found.append(
            Accelerator(
                index=f"{parent.index}:{part['index']}",
                uuid=part["uuid"],
                model=f"{parent.model} MIG {part['profile']}",
                vendor="nvidia",
                memory_mb=megabytes(int(memory.group(1)) * 1024 * MIB) if memory else 0,
                compute_capability=parent.compute_capability,
                driver=parent.driver,
            )
        )
    return tuple(found)


def _version(word: str) -> str:
    return word if _VERSION.fullmatch(word) else ""


def _of_model(model: str) -> str:
    return next((capability for name, capability in _CAPABILITIES if name in model), "")
