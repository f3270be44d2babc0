"""The settings of a pilot: options override the environment, which overrides a JSON file.

The bootstrap secret is not a setting. It comes from a file that only its owner can read, or from
standard input, because command lines and environments are public on a worker node.
"""

import dataclasses
import json
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pilotage.proto.declarations import STOP_MARGIN_S, BadDeclaration, check_declarations

PREFIX = "PILOTAGE_PILOT__"
AUTO = "auto"  # the best rung that works on the node
NAMESPACES = "namespaces"  # the same, but only rungs with namespaces
ISOLATIONS = (AUTO, NAMESPACES, "bubblewrap", "unshare", "session")


class BadSettings(ValueError):
    """The pilot cannot start with these settings; the message names the setting."""


@dataclass(frozen=True)
class Settings:
    """The settings of a pilot; 0 and empty texts mean detected values."""

    central: str = ""  # https://host:port
    secret_file: str = ""  # mode 0600, or - for standard input; not needed after the first start
    # Default: pilotage-UID/pilot-state in the batch system's folder for the job, else here.
    state_dir: str = ""
    ca: str = ""  # file with CA certificates, instead of the system's
    plain_http: bool = False  # permit http to other machines, on a trusted network
    cores: int = 0
    overcommit: bool = False  # offer `cores` and `gpus` even if fewer are found, as for load tests
    memory_mb: int = 0
    scratch_mb: int = 0  # of the disk, however much is free
    checkpoint_mb: int = 1_000  # the largest checkpoint that a job may pass on
    tags: tuple[str, ...] = ()
    amounts: tuple[str, ...] = ()  # counted resources by name: bandwidth_mbps=100
    wall_s: float = 0.0  # how long the pilot may live
    stop_margin_s: float = STOP_MARGIN_S  # before that time ends, payloads must have stopped
    idle_s: float = 0.0  # end after this time without work
    # End when the central has not accepted the pilot for this time; 0: never.
    unanswered_s: float = 900.0
    remove_state: bool = False  # after a successful end, leave no files behind
    isolation: str = AUTO
    os: str = ""  # instead of the detected one, for demonstrations
    architecture: str = ""
    required_tags: tuple[str, ...] = ()  # only jobs that ask for all of these
    types: tuple[str, ...] = ()  # only jobs of these types
    groups: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    hs23_per_core: float = 0.0  # as measured on such nodes
    # Otherwise: HS23 of a core whose benchmark gives 1, set for the element.
    hs23_per_score: float = 0.0
    benchmark_s: float = 0.1  # CPU time of the benchmark at the start; 0: none
    # Interval of questions to the batch system about the time left; 0: once.
    time_look_s: float = 900.0
    upload_s: float = 1_800.0  # how long outputs stay on the node while storages are unavailable
    cvmfs: tuple[str, ...] = ()  # repositories to look for, if they are mounted on use
    cvmfs_root: str = "/cvmfs"  # where CVMFS is mounted, for example by an ordinary user
    image_tools: tuple[str, ...] = ()  # container tools that may be used; none: no images
    registries: tuple[str, ...] = ()  # of images that may be fetched; none: of none; empty: of all
    image_cache: str = ""  # folder of fetched images, which all pilots of this user share
    image_cache_mb: int = 20_000  # its largest size
    module_init: str = ""  # file that defines `module` for a shell, instead of the detected one
    hide: tuple[str, ...] = ()  # folders and files that payloads must not see
    register: str = ""  # folder that all pilots of a node share, instead of /tmp
    gpus: int = 0
    gpu_model: str = ""
    gpu_vendor: str = ""
    gpu_memory_mb: int = 0  # of each GPU
    gpu_compute_capability: str = ""
    gpu_driver: str = ""

    def __post_init__(self) -> None:
        if not self.central:
            raise BadSettings("--central URL is needed")
        if self.isolation not in ISOLATIONS:
            expected = ", ".join(ISOLATIONS)
            raise BadDeclaration(
                "isolation", f"found {self.isolation!r}, expected one of {expected}"
            )
        check_declarations(vars(self))


def load(file: str, environment: Mapping[str, str], options: Mapping[str, Any]) -> Settings:
    """Return the settings; options override the environment, which overrides the file.

    Raises BadSettings.
    """
    given = {name: (value, f"{file}: {name}") for name, value in _from_file(file).items()}
    for name, text in environment.items():
        if name.startswith(PREFIX):
            given[name[len(PREFIX) :].lower()] = (text, name)
    for name, value in options.items():
        if value is not None:
            given[name] = (value, "--" + name.replace("_", "-"))
    known = {field.name for field in dataclasses.fields(Settings)}
    for name, (_, where) in given.items():
        if name not in known:
            import difflib  # it takes longer to import than everything else here

            near = difflib.get_close_matches(name, known, n=1)
            right = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            raise BadSettings(f"{where}: unknown setting; {right}")
    try:
        return Settings(**{name: _typed(name, value) for name, (value, _) in given.items()})
    except BadDeclaration as why:
        where = given[why.name][1] if why.name in given else why.name
        raise BadSettings(f"{where}: {why.why}") from None


def _from_file(file: str) -> dict[str, Any]:
    if not file:
        return {}
    path = Path(file)
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as why:
        raise BadSettings(f"{path}: {why}") from why
    if not isinstance(found, dict):
        raise BadSettings(f"{path}: not a JSON object")
    return cast("dict[str, Any]", found)


def _typed(name: str, value: Any) -> Any:
    """Return the value in the type of its setting; texts are converted, other types are refused."""
    default: object = getattr(Settings, name)
    word, read = next((word, read) for kind, word, read in _READ if isinstance(default, kind))
    try:
        return read(value)
    except (TypeError, ValueError, AttributeError, KeyError):
        raise BadDeclaration(name, f"found {value!r}, expected {word}") from None


def _truth(value: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return value if isinstance(value, bool) else words[value.lower()]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, dict):  # amounts in a file
        value = [f"{name}={it}" for name, it in cast("dict[str, Any]", value).items()]
    words: list[str] = value.split(",") if isinstance(value, str) else value
    return tuple(word.strip() for word in words if word.strip())


def _whole(value: Any) -> int:
    if isinstance(value, (bool, float)):
        raise TypeError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


# A bool is an int as well, so it comes first.
_READ: tuple[tuple[type[object], str, Callable[[Any], Any]], ...] = (
    (bool, "true or false", _truth),
    (str, "a text", _text),
    (tuple, "a list of words", _words),
    (int, "a whole number", _whole),
    (float, "a number", _number),
)


def read_secret(file: str) -> str:
    """Return the bootstrap secret from a file of mode 0600 or from standard input (-)."""
    if not file:
        return ""
    if file == "-":
        return sys.stdin.readline().strip()
    path = Path(file)
    try:
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise BadSettings(f"secret_file: other users may read {path}: its mode must be 0600")
        return path.read_text().strip()
    except OSError as why:
        raise BadSettings(f"secret_file: {why}") from why
