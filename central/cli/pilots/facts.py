"""A pilot in lines for people: what is not known says so, and what serves all says `all`."""

from typing import Any, Final, cast

import msgspec

from pilotage.proto.api.jobs import PilotView
from pilotage.proto.facts import VERSIONS

_CAN_BE_UNKNOWN: Final = ("memory_mb", "memory_free_mb", "os", "cpu_model", "hs23_per_core")
_NOT_KNOWN: Final = {  # what stands for it
    one.name: one.default
    for one in msgspec.structs.fields(PilotView)
    if one.name in (*_CAN_BE_UNKNOWN, *VERSIONS) or one.name.startswith("benchmark_")
}
# All that is known of one that never began.
_OF_ALL: Final = ("id", "community", "site", "element", "state", "reason", "made_at", "ended_at")
_OF_SLOT: Final = ("slot", "exit_code")
_PRINTED: Final = ("stdout", "stderr")  # not among the facts: they have lines of their own
_FILTERS: Final = ("types", "groups", "owners")
_OF_GPUS: Final = frozenset(name for name in PilotView.__struct_fields__ if name.startswith("gpu_"))
# Nothing is known of these before it asks: neither at its start nor after a restart.
_OF_OFFER: Final = frozenset(
    {
        *("cores", "cores_free", "memory_mb", "memory_free_mb", "scratch_mb", "scratch_free_mb"),
        *("gpus", "gpus_free", "tags", "required_tags", *_FILTERS),
        *("amounts", "amounts_free"),
    }
)


def facts(pilot: PilotView) -> list[tuple[str, str]]:
    """Return name and value of all that is known of a pilot."""
    said = msgspec.to_builtins(pilot)
    if not pilot.registered_at:
        names = (*_OF_ALL, *(_OF_SLOT if pilot.slot else ()))
        begun = [("begun", "no: it has never spoken to the central")]
        return [(name, _told(name, said[name], pilot)) for name in names] + begun
    return [
        (name, _told(name, value, pilot))
        for name, value in said.items()
        if (name not in _OF_GPUS or pilot.gpus) and name not in _PRINTED
    ]


def _told(name: str, value: Any, pilot: PilotView) -> str:
    if name in _OF_OFFER and pilot.wall_left_s is None:
        return "-"
    if _NOT_KNOWN.get(name, ...) == value or (name in _OF_GPUS and not value):
        return "not known"
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
