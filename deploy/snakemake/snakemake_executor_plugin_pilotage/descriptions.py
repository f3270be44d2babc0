"""Pure: the description of a pilotage job for a job of Snakemake."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from pilotage import Input, Job, Need

SNAKEMAKE_MB: Final = 200  # memory of Snakemake itself, beside the program of the rule
NAME_MAX: Final = 128
WORD_BYTES_MAX: Final = 100_000  # Linux takes 131,071 bytes in one word of a command


class Chosen(Protocol):
    """The settings of the plugin, for rules that have no resource of the same meaning."""

    site: str | None
    tags: str | None
    image: str | None
    software: str | None
    group: str | None


def described(
    name: str,
    resources: Mapping[str, object],
    chosen: Chosen,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    inputs: Sequence[Input] = (),
) -> Job:
    """Return the job for `command`. Raises ValueError for a resource with a wrong value.

    It has no retries: Snakemake repeats failed jobs (`--retries`), and the central repeats attempts
    that are lost with their pilot.
    """

    def text(key: str, default: str | None) -> str:
        return str(resources.get(f"pilotage_{key}") or default or "")

    def number(key: str, unit: int = 1) -> int:
        value = resources.get(key) or 0
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"resource {key}: expected a number, found {value!r}")
        return round(value * unit)

    memory_mb = number("mem_mb")
    return Job(
        name=name[:NAME_MAX],
        command=tuple(command),
        environment=dict(environment),
        inputs=tuple(inputs),
        group=text("group", chosen.group),
        image=text("image", chosen.image),
        software=_words(text("software", chosen.software)),
        needs=(
            Need(
                sites=_words(text("site", chosen.site)),
                tags=text("tags", chosen.tags),
                cores_min=number("_cores") or 1,
                memory_mb=memory_mb and memory_mb + SNAKEMAKE_MB,
                scratch_mb=number("disk_mb"),
                wall_s=number("runtime", 60) or Need().wall_s,  # in minutes
                gpus_min=number("gpu"),
                gpu_vendor=str(resources.get("gpu_manufacturer") or "").lower(),
            ),
        ),
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
