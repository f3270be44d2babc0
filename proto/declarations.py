"""The facts that an operator can declare about a pilot at its start, and the form of each.

Stdlib only: a pilot and `pilotage pilot start` check the same declarations.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Union, cast

from .amounts import BadAmount, check_offered, read_amounts
from .images import NO_REGISTRY, REGISTRY_FORM
from .limits import CORES_MAX, GPUS_MAX, MB_MAX, NAME_MAX, SECONDS_MAX, TAGS_MAX


class BadDeclaration(ValueError):
    """A declaration that no central accepts, or that has no effect."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name, self.why = name, why


@dataclass(frozen=True)
class DeclarationRule:
    """The right form of a declaration, as words for people and as a test."""

    right: str
    holds: Callable[[Any], bool]


def _whole(most: int) -> DeclarationRule:
    return DeclarationRule(f"a whole number from 0 to {most}", lambda value: 0 <= value <= most)


def _number(most: float) -> DeclarationRule:
    return DeclarationRule(
        f"a number from 0 to {most:.0f}", lambda value: 0 <= value <= most
    )  # NaN fails


def _text(right: str, pattern: str) -> DeclarationRule:
    form = re.compile(pattern)
    return DeclarationRule(right, lambda value: not value or form.fullmatch(value) is not None)


_SIGNS: Final = "letters, digits and . _ : / @ + - only"
_WORD: Final = rf"[A-Za-z0-9][A-Za-z0-9._:/@+-]{{0,{NAME_MAX - 1}}}"
_PRINTABLE: Final = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]"
_VERSION: Final = r"[0-9]{1,9}([.][0-9]{1,9}){0,4}"
_word: Final = _text(_SIGNS, _WORD)
_path: Final = _text("an absolute path", rf"/{_PRINTABLE}*")
_duration: Final = _number(SECONDS_MAX)

RULES: Final[Mapping[str, DeclarationRule]] = {
    "cores": _whole(CORES_MAX),
    "memory_mb": _whole(MB_MAX),
    "scratch_mb": _whole(MB_MAX),
    "checkpoint_mb": _whole(MB_MAX),
    "wall_s": _duration,
    "stop_margin_s": _duration,
    "idle_s": _duration,
    "unanswered_s": _duration,
    "tags": _word,
    "required_tags": _word,
    "types": _word,
    "groups": _word,
    "owners": _text(
        f"at most {NAME_MAX} characters, no control characters", f"{_PRINTABLE}{{1,{NAME_MAX}}}"
    ),
    "os": _text(f"{_SIGNS}, as in el9 or debian13", _WORD),
    "architecture": _text(f"{_SIGNS}, as in x86_64 or aarch64", _WORD),
    "hs23_per_core": _number(1e6),
    "hs23_per_score": _number(1e6),
    "benchmark_s": _number(2),
    "time_look_s": _duration,
    "upload_s": _duration,
    "cvmfs": _text(
        "a name as in sw.cta-observatory.org", "[A-Za-z0-9][A-Za-z0-9-]*([.][A-Za-z0-9-]+)+"
    ),
    "cvmfs_root": _path,
    "image_tools": _text(
        "apptainer, singularity, bubblewrap, podman or none",
        "apptainer|singularity|bubblewrap|podman|none",
    ),
    "registries": _text(
        "names of registries, as in ghcr.io or localhost:5000, or none",
        f"{NO_REGISTRY}|{REGISTRY_FORM}",
    ),
    "image_cache": _path,
    "image_cache_mb": _whole(MB_MAX),
    "module_init": _path,
    "hide": _path,
    "gpus": _whole(GPUS_MAX),
    "gpu_model": _text("at most 256 characters, no control characters", f"{_PRINTABLE}{{1,256}}"),
    "gpu_vendor": _text("lower-case letters, as in nvidia, amd or intel", "[a-z]{1,32}"),
    "gpu_memory_mb": _whole(MB_MAX),
    "gpu_compute_capability": _text("numbers with points between them, as in 8.0", _VERSION),
    "gpu_driver": _text("numbers with points between them, as in 535.104.05", _VERSION),
}
_OF_GPUS: Final = tuple(name for name in RULES if name.startswith("gpu_"))
STOP_MARGIN_S: Final = 60.0  # the default


def margin_s(said_s: float, wall_s: float) -> float:
    """Return how long before its end a pilot with this wall time stops its payloads.

    It is at most a tenth of the wall time, so that short pilots can run payloads too.
    """
    return min(said_s, wall_s / 10)


def check_declarations(said: Mapping[str, Any]) -> None:
    """Raise BadDeclaration for the first wrong declaration.

    Names without a rule are skipped; 0 and empty texts declare nothing.
    """
    for name, value in said.items():
        rule = RULES.get(name)
        if rule is None:
            continue
        several = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
        if len(several) > TAGS_MAX:
            raise BadDeclaration(name, f"found {len(several)} words, expected at most {TAGS_MAX}")
        for one in several:
            if not rule.holds(one):
                raise BadDeclaration(name, f"found {_short(one)}, expected {rule.right}")
    try:
        check_offered(_amounts(said.get("amounts") or ()))
    except BadAmount as why:
        raise BadDeclaration("amounts", str(why)) from None
    wall_s, margin_s = said.get("wall_s") or 0.0, said.get("stop_margin_s", STOP_MARGIN_S)
    if 0 < wall_s <= margin_s:
        right = f"more than {margin_s:g} s, in which payloads are stopped (stop_margin_s)"
        raise BadDeclaration("wall_s", f"found {wall_s:g}, expected {right}")
    for name in _OF_GPUS:
        if said.get(name) and not said.get("gpus"):
            raise BadDeclaration(name, "it describes the GPUs: set their number (gpus) too")


def _amounts(said: Union[Mapping[str, int], tuple[str, ...]]) -> Mapping[str, int]:
    """Return named amounts from a mapping or from words."""
    return read_amounts(said) if isinstance(said, tuple) else said


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."
