"""GPUs of AMD, from `rocm-smi`."""

import json
import re
from typing import Any, cast

from .accelerator import Accelerator
from .batch_systems.batch_job import megabytes
from .small_files import decimal, plain
from .surroundings import Surroundings

QUERY = (
    "rocm-smi",
    *("--showproductname", "--showuniqueid", "--showmeminfo", "vram", "--showdriverversion"),
    "--json",
)
_CARD = re.compile(r"card([0-9]{1,4})")
_VERSION = re.compile(r"[0-9]{1,9}(?:[.][0-9]{1,9}){0,4}")


def may_be_there(around: Surroundings) -> bool:
    """Return whether it makes sense to ask: the driver is loaded or its device exists."""
    return around.is_there("/dev/kfd") or around.is_there("/sys/module/amdgpu/version")


def gpus(around: Surroundings) -> tuple[tuple[Accelerator, ...], str]:
    """Return all GPUs that the tool shows, and the error if it shows none."""
    said = around.run(QUERY)
    if not said.strip():
        return (), "rocm-smi has not answered"
    return parse(said)


def parse(said: str) -> tuple[tuple[Accelerator, ...], str]:
    """Return the GPUs of a query, and the error if there is one.

    The case of field names depends on the release, so they are compared in lower case.
    """
    start = said.find("{")  # warnings may come before it
    try:
        whole = json.loads(said[start:] if start >= 0 else "")
    except (ValueError, RecursionError):
        return (), f"rocm-smi: {plain(said, 80)!r} is not JSON"
    if not isinstance(whole, dict):
        return (), "rocm-smi: the JSON is not an object"
    cards = {key: _fields(value) for key, value in cast("dict[str, Any]", whole).items()}
    driver = cards.get("system", {}).get("driver version", "")
    found: list[Accelerator] = []
    for key, fields in cards.items():
        number = _CARD.fullmatch(key)
        if number is None:
            continue
        found.append(
            Accelerator(
                index=number.group(1),
                uuid=plain(fields.get("unique id", "")),
                model=plain(fields.get("card series", "") or fields.get("card model", "")),
                vendor="amd",
                memory_mb=megabytes(decimal(fields.get("vram total memory (b)", ""))),
                driver=driver if _VERSION.fullmatch(driver) else "",
            )
        )
    found.sort(key=lambda one: int(one.index))
    return tuple(found), "" if found else "rocm-smi shows no card"


def _fields(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    fields = cast("dict[str, Any]", value)
    return {name.lower(): str(said) for name, said in fields.items()}
