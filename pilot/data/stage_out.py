"""Data after the end: what matches is chosen, and each file goes to the first storage that has it.

Ordering and choice are here; the copying is done by what is given.
"""

import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from pilotage.proto.messages import KEPT_FOLDER
from pilotage.proto.storages import (
    META_BYTES_MAX,
    META_SUFFIX,
    DataRule,
    Published,
    StorageAccess,
    is_good_path,
)
from pilotage.proto.wire import encode

from ..files.globs import compile_glob
from ..files.worker_thread import GoOn, always
from ..files.workspace import LISTED_BYTES_MAX, OUTPUT_FILES_MAX, walk
from ..ports import TooLarge, UnsafePath
from .storages import CopyChecksums, CopyMissing, StorageRefused, StorageUnavailable

OURS: Final = KEPT_FOLDER + "/"  # what we have laid there ourselves
_NUMBER_MAX: Final = 2**53  # that all readers of JSON agree about
_NOWHERE: Final = StorageAccess("", "", "")

Put = Callable[
    [Path, StorageAccess, str], Awaitable[CopyChecksums]
]  # a file, to a storage, as this path
# Waits before another round: which, and why. False: it has taken too long already.
Wait = Callable[[int, str], Awaitable[bool]]


class OutputNotStored(Exception):
    """No storage took a file."""


class BadMetadata(ValueError):
    """What a payload wrote beside an output is no metadata."""


@dataclass(frozen=True)
class ChosenFile:
    """A file that a rule wants."""

    rule: int
    name: str  # in the payload's folder
    path: Path
    metadata: str = ""


def choose(
    work: Path,
    rules: Sequence[DataRule],
    *,
    folder: str = "",
    brought: Collection[str] = (),
    listed_bytes: int = 0,
    go_on: GoOn = always,
) -> tuple[list[ChosenFile], list[str]]:
    """Return the files that match, each for the first rule that it matches, and what matched none.

    `x.meta.json` beside a file `x` that matches says metadata of it, and is no output itself. What
    was `brought` is one only where a rule names it, without wildcards. All will be stored below
    `folder`, and told in a report that lists `listed_bytes` of other things. Raises UnsafePath for
    a name that no DID can have, TooLarge, BadMetadata.
    """
    globs = [compile_glob(one.pattern) for one in rules]
    used: set[int] = set()
    matched: dict[str, tuple[int, Path]] = {}
    files: dict[str, Path] = {}
    for name, path in walk(work, go_on):
        if name.startswith(OURS):
            continue
        hits = [
            number
            for number, glob in enumerate(globs)
            if glob.fullmatch(name) and (name not in brought or _takes(rules[number], name))
        ]
        if name.endswith(META_SUFFIX):
            files[name] = path
        if hits:
            used.update(hits)
            matched[name] = (hits[0], path)
    for name in list(matched):
        beside = name + META_SUFFIX
        if beside in files:
            matched.pop(beside, None)
    if len(matched) > OUTPUT_FILES_MAX:
        raise TooLarge(f"{len(matched)} files match; at most {OUTPUT_FILES_MAX} can be published")
    chosen = [
        ChosenFile(number, _named(name), path, _metadata(name, files))
        for name, (number, path) in matched.items()
    ]
    _check_report(chosen, rules, folder, LISTED_BYTES_MAX - listed_bytes)
    absent = [one.pattern for i, one in enumerate(rules) if one.required and i not in used]
    return chosen, absent


def _check_report(
    chosen: Sequence[ChosenFile], rules: Sequence[DataRule], folder: str, bytes_max: int
) -> None:
    """Raise TooLarge for more than one report carries, wherever each file will be stored.

    The central could read nothing of it: a good result would be lost, and so would each retry's.
    """
    longest = [max(one.storages, key=lambda to: len(to.storage), default=_NOWHERE) for one in rules]
    sums = CopyChecksums(_NUMBER_MAX, "0" * 8, "0" * 64)
    told = [published(one, longest[one.rule], f"{folder}/{one.name}", sums) for one in chosen]
    size = len(encode(told))
    if size > bytes_max:
        metadata = len(encode([one.metadata for one in chosen]))
        raise TooLarge(
            f"names and metadata of the {len(chosen)} files that match: found {size} bytes in the "
            f"report, expected at most {bytes_max}; of these the metadata are {metadata}"
        )


def _takes(rule: DataRule, name: str) -> bool:
    """Whether a rule takes a file that was brought."""
    return rule.brought or rule.pattern == name


def _named(name: str) -> str:
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if shown != name or not is_good_path(name):
        right = "at most 512 characters, no space or control character"
        raise UnsafePath(f"the file '{shown[:200]}' cannot be published: expected {right}")
    return name


def _metadata(name: str, files: dict[str, Path]) -> str:
    """Return what stands beside a file as a JSON object of one line."""
    path = files.get(name + META_SUFFIX)
    if path is None:
        return ""
    where = name + META_SUFFIX
    with open(path, "rb") as file:
        read = file.read(META_BYTES_MAX + 1)
    if len(read) > META_BYTES_MAX:
        raise BadMetadata(f"{where} has more than {META_BYTES_MAX} bytes")
    try:
        found = json.loads(read)
    except (ValueError, RecursionError) as why:
        raise BadMetadata(f"{where} is no JSON: {why}") from None
    if not isinstance(found, dict):
        raise BadMetadata(f'{where} holds no object: expected one like {{"run": 7}}')
    for key, value in cast("dict[str, Any]", found).items():
        if not _is_value(value):
            wrong = f"{where}: {key}: found {json.dumps(value)[:80]}"
            raise BadMetadata(f"{wrong}, expected a text, a number, true or false")
    # A letter is one character of a report, not the six of its escape.
    said = json.dumps(found, separators=(",", ":"), ensure_ascii=False)
    if not said.isascii():
        _check_letters(said, where)
    if len(said) > META_BYTES_MAX:
        wrong = f"{where} has {len(said)} characters as its numbers are told"
        raise BadMetadata(f"{wrong}, expected at most {META_BYTES_MAX}")
    return said


def _check_letters(said: str, where: str) -> None:
    try:
        said.encode()
    except UnicodeEncodeError as why:
        found = ascii(said[why.start : why.end])
        raise BadMetadata(f"{where} holds half a character, {found}: expected UTF-8") from None


def _is_value(value: Any) -> bool:
    if isinstance(value, (int, float)):  # a bool is an int
        return abs(value) <= _NUMBER_MAX  # NaN and infinity are not
    return isinstance(value, str)


def order(rule: DataRule, job: int) -> tuple[StorageAccess, ...]:
    """Return the storages of a rule in the order in which a job tries them."""
    storages = rule.storages
    start = job % len(storages) if rule.balanced and storages else 0
    return storages[start:] + storages[:start]


class StageOut:
    """Stores the files of one attempt. What refused one file is not asked again."""

    def __init__(self, folder: str, job: int, rules: Sequence[DataRule]) -> None:
        self._folder = folder
        self._orders = [list(order(rule, job)) for rule in rules]
        self._out: dict[str, str] = {}  # storages that take nothing more, and why

    async def run(self, chosen: ChosenFile, put: Put, wait: Wait) -> Published:
        """Store one file. Raises NotStored, and OSError of the file here."""
        path = f"{self._folder}/{chosen.name}"
        storages, whys = self._orders[chosen.rule], dict[str, str]()
        rounds = 0
        while True:
            for access in [one for one in storages if one.storage not in self._out]:
                try:
                    sums = await put(chosen.path, access, path)
                except StorageUnavailable as why:
                    whys[access.storage] = str(why)
                    storages.remove(access)  # the others are asked before it from now on
                    storages.append(access)
                    continue
                except (StorageRefused, CopyMissing) as why:
                    self._out[access.storage] = str(why)
                    continue
                return published(chosen, access, path, sums)
            rounds += 1
            if all(one.storage in self._out for one in storages):
                break
            if not await wait(rounds, _told(whys)):
                break
        refused = {name: why for name, why in self._out.items() if name in _names(storages)}
        raise OutputNotStored(
            f"{chosen.name}: {_told({**refused, **whys}) or 'no storage takes it'}"
        )


def published(
    chosen: ChosenFile, access: StorageAccess, path: str, sums: CopyChecksums
) -> Published:
    """Return what the report says of a file that is stored."""
    return Published(
        rule=chosen.rule,
        name=chosen.name,
        storage=access.storage,
        path=path,
        size_bytes=sums.size_bytes,
        adler32=sums.adler32,
        sha256=sums.sha256,
        metadata=chosen.metadata,
    )


def _names(storages: Sequence[StorageAccess]) -> "list[str]":
    return [one.storage for one in storages]


def _told(whys: "dict[str, str]") -> str:
    return "; ".join(f"{storage}: {why}" for storage, why in whys.items())
