"""Options of a pilot that is started from the command line."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from cyclopts import Parameter

from pilotage.proto.declarations import BadDeclaration, check_declarations

from ..exit_codes import UsageError
from ..options import option
from ..presentation import cores_in_words
from ..units import option_name, with_units

Words = tuple[str, ...]


@Parameter(name="*")
@dataclass(frozen=True)
@with_units
class PilotOptions:
    """Options of pilots: their offers and filters. A pilot detects the values of other options."""

    cores: int = option(0, "Offer at most this many cores; 0: all.")
    overcommit: bool = option(False, "Offer the given cores and GPUs even if the node has fewer.")
    memory_mb: int = option(0, "Memory to offer; 0: all.")
    scratch_mb: int = option(0, "Offer at most this much disk; 0: all free disk.")
    wall_s: int = option(0, "Time that the pilot may run; 0: no limit.")
    idle_s: int = option(0, "End after this time without work; 0: never.")
    isolation: Literal["auto", "namespaces", "bubblewrap", "unshare", "session"] = option(
        "auto",
        (
            "Level of isolation. `auto`: the best that works. `namespaces`: the best with"
            " namespaces; the pilot ends if there is none."
        ),
    )
    tags: Words = option((), "Tags of the pilot: A,B. Repeatable.")
    amounts: Words = option((), "Counted resources to offer: NAME=AMOUNT,… Repeatable.")
    required_tags: Words = option((), "Take only jobs that ask for all of these tags. Repeatable.")
    types: Words = option((), "Take only jobs of these types.")
    groups: Words = option((), "Take only jobs of these groups.")
    owners: Words = option((), "Take only jobs of these owners.")
    os: str = option("", "Operating system, instead of the detected one: el9, debian13 …")
    architecture: str = option("", "Architecture, instead of the detected one: aarch64 …")
    hs23_per_core: float = option(0.0, "HS23 of one core; 0: not measured.")
    hs23_per_score: float = option(0.0, "HS23 of a core with benchmark score 1; 0: unknown.")
    cvmfs: Words = option((), "CVMFS repositories to try on nodes with autofs.")
    cvmfs_root: str = option("", "Mount point of CVMFS (default: /cvmfs).")
    image_tools: Words = option(
        (), "Container tools: apptainer, bubblewrap, podman …; none: no images."
    )
    registries: Words = option((), "Registries of images that may be fetched; none: of none.")
    image_cache: str = option("", "Folder of fetched images, shared by the pilots of a node.")
    image_cache_mb: int = option(20_000, "Largest size of that folder.")
    module_init: str = option("", "File that defines `module` in a shell (default: detected).")
    hide: Words = option((), "Folders and files to hide from payloads.")
    gpus: int = option(0, "Number of GPUs to offer; 0: all that are found.")
    gpu_model: str = option("", "Model of the GPUs, for display.")
    gpu_vendor: str = option("", "GPU vendor: nvidia, amd or intel.")
    gpu_memory_mb: int = option(0, "Memory of each GPU.")
    gpu_compute_capability: str = option("", "Compute capability of the GPUs: 8.0.")
    gpu_driver: str = option("", "Version of the GPU driver: 535.104.05.")


PILOT_OPTIONS = PilotOptions()


def said_of(options: PilotOptions) -> dict[str, Any]:
    """Return the settings of the pilot by their names in the pilot.

    Raises UsageError, which names the wrong option.
    """
    said = {name: _words(value) for name, value in asdict(options).items()}
    try:
        check_declarations(said)
    except BadDeclaration as why:
        option = option_name(why.name)
        raise UsageError(f"{option}: {why.why}") from None
    return said


def _words(value: Any) -> Any:
    """Split words at commas: `--tags a,b` has two."""
    if not isinstance(value, tuple):
        return value
    words = [word for one in cast(tuple[str, ...], value) for word in one.split(",")]
    return tuple(word.strip() for word in words if word.strip())


def doubts(told: PilotOptions, cores: int) -> list[str]:
    """Return warnings about pilots with these options on a machine with `cores` cores."""
    lines: list[str] = []
    if told.cores > cores and not told.overcommit:
        lines.append(
            f"--cores {told.cores}: the pilot offers only the {cores_in_words(cores)} of this"
            " machine; to offer more, add --overcommit"
        )
    if told.isolation == "namespaces":
        lines.append(
            "--isolation namespaces: if another pilot of this user can see the folder of the pilot,"
            " `pilotage pilot list` shows (open), and it gets no jobs that need namespaces"
        )
    return lines
