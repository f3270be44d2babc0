"""The lines of `pilotage pilot show`. Unknown values and empty filters have words of their own."""

from typing import Any, Final, cast

import msgspec

from pilotage.proto.api.pilots import PilotView
from pilotage.proto.facts import VERSIONS

_CAN_BE_UNKNOWN: Final = ("memory_mb", "memory_free_mb", "os", "cpu_model", "hs23_per_core")
_NOT_KNOWN: Final = {  # the value of an unknown field
    one.name: one.default
    for one in msgspec.structs.fields(PilotView)
    if one.name in (*_CAN_BE_UNKNOWN, *VERSIONS) or one.name.startswith("benchmark_")
}
# The fields of a pilot that never started.
_OF_ALL: Final = ("id", "community", "site", "element", "state", "reason", "made_at", "ended_at")
_OF_SLOT: Final = ("slot", "exit_code")
_PRINTED: Final = ("stdout", "stderr")  # printed after the facts
_FILTERS: Final = ("types", "groups", "owners")
_OF_GPUS: Final = frozenset(name for name in PilotView.__struct_fields__ if name.startswith("gpu_"))
# These are unknown until the pilot asks for jobs, also after a restart.
_OF_OFFER: Final = frozenset(
    {
        *("cores", "cores_free", "memory_mb", "memory_free_mb", "scratch_mb", "scratch_free_mb"),
        *("gpus", "gpus_free", "tags", "required_tags", *_FILTERS),
        *("amounts", "amounts_free"),
    }
)


def facts(pilot: PilotView) -> list[tuple[str, str]]:
    """Return the names and values of the facts about a pilot."""
    said = msgspec.to_builtins(pilot)
    if not pilot.registered_at:
        names = (*_OF_ALL, *(_OF_SLOT if pilot.slot else ()))
        begun = [("begun", "no: it has never contacted the central")]
        return [(name, _text_of(name, said[name], pilot)) for name in names] + begun
    return [
        (name, _text_of(name, value, pilot))
        for name, value in said.items()
        if (name not in _OF_GPUS or pilot.gpus) and name not in _PRINTED
    ]


def _text_of(name: str, value: Any, pilot: PilotView) -> str:
    if name in _OF_OFFER and pilot.wall_left_s is None:
        return "-"
    if _NOT_KNOWN.get(name, ...) == value or (name in _OF_GPUS and not value):
        return "unknown"
    if name in _FILTERS and not value:
        return "all"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if name == "wall_left_s" or value >= 1e5 else f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {it}" for key, it in cast(dict[str, int], value).items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(cast(list[str], value)) or "-"
    return "-" if value in (None, "") else str(value)
