"""What a pilot is told when it is started from the command line."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, cast

from cyclopts import Parameter

from pilotage.proto.declarations import BadDeclaration, check_declarations

from .exit_codes import UsageError


@Parameter(name="*")
@dataclass(frozen=True)
class PilotOptions:
    """What pilots offer and whom they serve; what is left out they find by themselves."""

    cores: Annotated[int, Parameter(help="Cores to offer at most; 0: all.")] = 0
    overcommit: Annotated[
        bool,
        Parameter(help="Offer the given cores and GPUs even if the node has fewer.", negative=()),
    ] = False
    memory_mb: Annotated[int, Parameter(help="Memory to offer; 0: all.")] = 0
    scratch_mb: Annotated[int, Parameter(help="Disk to offer at most; 0: all that is free.")] = 0
    wall_s: Annotated[int, Parameter(help="How long it may run; 0: no limit.")] = 0
    idle_s: Annotated[int, Parameter(help="It ends after so long without work; 0: never.")] = 0
    isolation: Annotated[
        Literal["auto", "namespaces", "bubblewrap", "unshare", "session"],
        Parameter(
            help="Rung of isolation. `auto`: the best that works. `namespaces`: the best rung with"
            " namespaces; the pilot ends if there is none."
        ),
    ] = "auto"
    tags: Annotated[tuple[str, ...], Parameter(help="Tags of the pilot: A,B; repeatable.")] = ()
    required_tags: Annotated[
        tuple[str, ...], Parameter(help="Only jobs that ask for all of these; repeatable.")
    ] = ()
    types: Annotated[tuple[str, ...], Parameter(help="Only jobs of these types.")] = ()
    groups: Annotated[tuple[str, ...], Parameter(help="Only jobs of these groups.")] = ()
    owners: Annotated[tuple[str, ...], Parameter(help="Only jobs of these owners.")] = ()
    os: Annotated[str, Parameter(help="Instead of what is found: el9, debian13 …")] = ""
    architecture: Annotated[str, Parameter(help="Instead of what is found: aarch64 …")] = ""
    hs23_per_core: Annotated[float, Parameter(help="HS23 of one core; 0: not measured.")] = 0.0
    hs23_per_score: Annotated[
        float, Parameter(help="HS23 of a core whose benchmark gives 1; 0: not known.")
    ] = 0.0
    cvmfs: Annotated[
        tuple[str, ...], Parameter(help="Repositories to look for where autofs mounts them.")
    ] = ()
    cvmfs_root: Annotated[str, Parameter(help="Where CVMFS is mounted, if not at /cvmfs.")] = ""
    image_tools: Annotated[
        tuple[str, ...],
        Parameter(help="Container tools to use: apptainer, bubblewrap, podman …; none: no images."),
    ] = ()
    module_init: Annotated[
        str, Parameter(help="What a shell reads to know `module`, instead of what it finds.")
    ] = ""
    hide: Annotated[
        tuple[str, ...], Parameter(help="Folders and files that payloads must not see.")
    ] = ()
    gpus: Annotated[int, Parameter(help="How many GPUs to offer; 0: all that it finds.")] = 0
    gpu_model: Annotated[str, Parameter(help="Model of the GPUs, for people.")] = ""
    gpu_vendor: Annotated[str, Parameter(help="nvidia, amd, intel.")] = ""
    gpu_memory_mb: Annotated[int, Parameter(help="Memory of each GPU in MB.")] = 0
    gpu_compute_capability: Annotated[str, Parameter(help="Of the GPUs: 8.0.")] = ""
    gpu_driver: Annotated[str, Parameter(help="Version of the GPUs' driver: 535.104.05.")] = ""


PILOT_OPTIONS = PilotOptions()


def said_of(options: PilotOptions) -> dict[str, Any]:
    """Return what the pilot is told by its name there, or raise UsageError with the option."""
    said = {name: _words(value) for name, value in asdict(options).items()}
    try:
        check_declarations(said)
    except BadDeclaration as why:
        option = "--" + why.name.replace("_", "-")
        raise UsageError(f"{option}: {why.why}") from None
    return said


def _words(value: Any) -> Any:
    """Return several words that came as one, `--tags a,b`, as several."""
    if not isinstance(value, tuple):
        return value
    words = [word for one in cast(tuple[str, ...], value) for word in one.split(",")]
    return tuple(word.strip() for word in words if word.strip())


def doubts(told: PilotOptions, cores: int) -> list[str]:
    """Return what a starter should know of pilots on this machine, which has so many cores."""
    lines: list[str] = []
    if told.cores > cores and not told.overcommit:
        lines.append(
            f"--cores {told.cores}: this machine has {cores} cores for it, and it offers no more;"
            " --overcommit lifts that"
        )
    if told.isolation == "namespaces":
        lines.append(
            "--isolation namespaces: where another pilot of this user sees its folder,"
            " `pilotage pilot list` shows (open), and jobs that need namespaces do not run there"
        )
    return lines
