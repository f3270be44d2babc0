"""Everything that can be set for a pilot: a JSON file, then the environment, then options.

The bootstrap secret is none of these: it comes from a file that only its owner can read, or from
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

PREFIX = "PILOTAGE_PILOT__"
ISOLATIONS = ("auto", "bubblewrap", "unshare", "session")


class BadSettings(ValueError):
    """The pilot cannot start like this; the message names the setting."""


@dataclass(frozen=True)
class Settings:
    """What a pilot is told; 0 and empty words leave it to what it finds."""

    central: str = ""  # https://host:port
    secret_file: str = ""  # mode 0600, or - for standard input; not needed after the first life
    state_dir: str = "pilot-state"
    ca: str = ""  # file with CA certificates, instead of the system's
    plain_http: bool = False  # http to other machines, where the network is trusted
    cores: int = 0
    memory_mb: int = 0
    tags: tuple[str, ...] = ()
    wall_s: float = 0.0  # how long the pilot may live
    stop_margin_s: float = 60.0  # before that, payloads must have stopped
    idle_s: float = 0.0  # end after so long without any work
    unanswered_s: float = 900.0  # end when the central has not let us in for so long; 0: never
    remove_state: bool = False  # a pilot that has ended well leaves nothing behind
    isolation: str = "auto"
    os: str = ""  # instead of what is found, for demonstrations
    architecture: str = ""

    def __post_init__(self) -> None:
        if not self.central:
            raise BadSettings("--central URL is needed")
        if self.isolation not in ISOLATIONS:
            raise BadSettings(f"isolation: {self.isolation!r} is none of {', '.join(ISOLATIONS)}")
        for name in ("cores", "memory_mb", "wall_s", "stop_margin_s", "idle_s", "unanswered_s"):
            if getattr(self, name) < 0:
                raise BadSettings(f"{name}: {getattr(self, name)} is negative")


def load(file: str, environment: Mapping[str, str], options: Mapping[str, Any]) -> Settings:
    """Return the settings, options before environment before file. Raises BadSettings."""
    given: dict[str, Any] = {}
    if file:
        given.update(_from_file(Path(file)))
    for name, text in environment.items():
        if name.startswith(PREFIX):
            given[name[len(PREFIX) :].lower()] = text
    given.update({name: value for name, value in options.items() if value is not None})
    known = {field.name: field for field in dataclasses.fields(Settings)}
    for name in given:
        if name not in known:
            raise BadSettings(f"{name}: no such setting; there are {', '.join(known)}")
    return Settings(**{name: _typed(name, value) for name, value in given.items()})


def _from_file(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as why:
        raise BadSettings(f"{path}: {why}") from why
    if not isinstance(found, dict):
        raise BadSettings(f"{path}: not a JSON object")
    return cast("dict[str, Any]", found)


def _typed(name: str, value: Any) -> Any:
    """Return the value as the type of its setting; texts are read, other types are refused."""
    default: object = getattr(Settings, name)
    word, read = next((word, read) for kind, word, read in _READ if isinstance(default, kind))
    try:
        return read(value)
    except (TypeError, ValueError, AttributeError, KeyError):
        raise BadSettings(f"{name}: {value!r} is not {word}") from None


def _truth(value: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return value if isinstance(value, bool) else words[value.lower()]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _words(value: Any) -> tuple[str, ...]:
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


# A bool is an int as well: it comes first.
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
            raise BadSettings(f"secret_file: others may read {path}; its mode must be 0600")
        return path.read_text().strip()
    except OSError as why:
        raise BadSettings(f"secret_file: {why}") from why
