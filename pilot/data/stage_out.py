"""Data files after the end: choice of the matching files, and a storage for each of them.

Order and choice are decided here; the given functions copy the files.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from pilotage.proto.messages import KEPT_FOLDER
from pilotage.proto.storages import (
    META_BYTES_MAX,
    META_SUFFIX,
    TRIES_MAX,
    DataRule,
    Leftover,
    Published,
    StorageAccess,
    is_good_path,
    try_path,
)
from pilotage.proto.wire import encode

from ..files.globs import compile_glob
from ..files.worker_thread import GoOn, always
from ..files.workspace import LISTED_BYTES_MAX, OUTPUT_FILES_MAX, walk
from ..ports import TooLarge, UnsafePath
from .storages import (
    CopyChecksums,
    CopyMissing,
    StorageError,
    StorageRefused,
    StorageUnavailable,
)

OURS: Final = KEPT_FOLDER + "/"  # files that the pilot has put there
LEFTOVERS_MAX: Final = 500  # failed uploads that a report names
_NUMBER_MAX: Final = 2**53  # the largest integer that all JSON readers keep exact
_NOWHERE: Final = StorageAccess("", "", "")

Put = Callable[
    [Path, StorageAccess, str], Awaitable[CopyChecksums]
]  # stores a file on a storage under a path
# Waits before another round, given its number and the reason. False: the time is over.
Wait = Callable[[int, str], Awaitable[bool]]


class OutputNotStored(Exception):
    """No storage took a file."""


class BadMetadata(ValueError):
    """The metadata file that a payload wrote beside an output is wrong."""


@dataclass(frozen=True)
class ChosenFile:
    """A file that a rule selects."""

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
    """Return the matching files, each for its first rule, and the patterns without a match.

    `x.meta.json` beside a matching file `x` holds its metadata, and is not an output itself. A file
    that was `brought` counts only if a rule names it without wildcards. All files will be stored
    below `folder`, and listed in a report with `listed_bytes` of other content. Raises UnsafePath
    for a name that no DID can have, TooLarge and BadMetadata.
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
    """Raise TooLarge if a report cannot carry all files, wherever each will be stored.

    The central could not read such a report: a good result would be lost, and that of each retry
    too.
    """
    longest = [max(one.storages, key=lambda to: len(to.storage), default=_NOWHERE) for one in rules]
    sums = CopyChecksums(_NUMBER_MAX, "0" * 8, "0" * 64)
    entries = [
        published(one, longest[one.rule], try_path(folder, one.name, TRIES_MAX), sums)
        for one in chosen
    ]
    size = len(encode(entries))
    if size > bytes_max:
        metadata = len(encode([one.metadata for one in chosen]))
        raise TooLarge(
            f"names and metadata of the {len(chosen)} files that match: found {size} bytes in the "
            f"report, expected at most {bytes_max}; the metadata take {metadata} of these"
        )


def _takes(rule: DataRule, name: str) -> bool:
    """Return whether a rule selects a file that was fetched as input."""
    return rule.brought or rule.pattern == name


def _named(name: str) -> str:
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if shown != name or not is_good_path(name):
        right = "at most 512 characters, no space or control character"
        raise UnsafePath(f"the file '{shown[:200]}' cannot be published: expected {right}")
    return name


def _metadata(name: str, files: dict[str, Path]) -> str:
    """Return the metadata file of an output as a JSON object on one line."""
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
        raise BadMetadata(f"{where} is not JSON: {why}") from None
    if not isinstance(found, dict):
        raise BadMetadata(f'{where} is not an object: expected one such as {{"run": 7}}')
    for key, value in cast("dict[str, Any]", found).items():
        if not _is_value(value):
            wrong = f"{where}: {key}: found {json.dumps(value)[:80]}"
            raise BadMetadata(f"{wrong}, expected a text, a number, true or false")
    # A letter takes one character of a report, not the six of its escape.
    said = json.dumps(found, separators=(",", ":"), ensure_ascii=False)
    if not said.isascii():
        _check_letters(said, where)
    if len(said) > META_BYTES_MAX:
        wrong = f"{where} has {len(said)} characters with its numbers written out"
        raise BadMetadata(f"{wrong}, expected at most {META_BYTES_MAX}")
    return said


def _check_letters(said: str, where: str) -> None:
    try:
        said.encode()
    except UnicodeEncodeError as why:
        found = ascii(said[why.start : why.end])
        raise BadMetadata(
            f"{where} contains half of a character, {found}: expected UTF-8"
        ) from None


def _is_value(value: Any) -> bool:
    if isinstance(value, (int, float)):  # a bool is an int
        return abs(value) <= _NUMBER_MAX  # false for NaN and infinity
    return isinstance(value, str)


def order(rule: DataRule, job: int) -> tuple[StorageAccess, ...]:
    """Return the storages of a rule in the order in which a job tries them."""
    storages = rule.storages
    start = job % len(storages) if rule.balanced and storages else 0
    return storages[start:] + storages[:start]


class StageOut:
    """Stores the files of one attempt. A storage that refused one file is not asked again."""

    def __init__(self, folder: str, job: int, rules: Sequence[DataRule]) -> None:
        self._folder = folder
        self._tries = Counter[str]()  # by file: failed ones that may have left bytes
        self.leftovers: list[Leftover] = []
        self._orders = [list(order(rule, job)) for rule in rules]
        self.refused: dict[str, str] = {}  # by storages that take no more files: why

    async def run(self, chosen: ChosenFile, put: Put, wait: Wait) -> Published:
        """Store one file. Raises OutputNotStored, and OSError for the local file."""
        storages, whys = self._orders[chosen.rule], dict[str, str]()
        rounds = 0
        while True:
            for access in [one for one in storages if one.storage not in self.refused]:
                path = self._next_path(chosen.name)
                try:
                    sums = await put(chosen.path, access, path)
                except StorageUnavailable as why:
                    self._left(chosen.name, access.storage, path, why)
                    whys[access.storage] = str(why)
                    storages.remove(access)  # from now on, the others are asked first
                    storages.append(access)
                    continue
                except (StorageRefused, CopyMissing) as why:
                    self._left(chosen.name, access.storage, path, why)
                    self.refused[access.storage] = str(why)
                    continue
                return published(chosen, access, path, sums)
            rounds += 1
            if all(one.storage in self.refused for one in storages):
                break
            if not await wait(rounds, _reasons_text(whys)):
                break
        refused = {name: why for name, why in self.refused.items() if name in _names(storages)}
        raise OutputNotStored(
            f"{chosen.name}: {_reasons_text({**refused, **whys}) or 'no storage accepts it'}"
        )

    def _next_path(self, name: str) -> str:
        """Return the path for the next try; after TRIES_MAX, the last one comes again.

        The other storages get another path too: no bytes are swept at a path that a file has on
        any storage, because two storages may be the same place.
        """
        return try_path(self._folder, name, min(self._tries[name] + 1, TRIES_MAX))

    def _left(self, name: str, storage: str, path: str, why: StorageError) -> None:
        """Note that a failed upload may have left bytes."""
        if not why.is_sent:
            return
        self._tries[name] += 1
        left = Leftover(storage, path)
        if left in self.leftovers:
            return
        if len(self.leftovers) >= LEFTOVERS_MAX:
            raise OutputNotStored(f"{path}: {LEFTOVERS_MAX} uploads failed before; {why}")
        self.leftovers.append(left)


def published(
    chosen: ChosenFile, access: StorageAccess, path: str, sums: CopyChecksums
) -> Published:
    """Return the entry of a stored file in the report."""
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


def _reasons_text(whys: "dict[str, str]") -> str:
    return "; ".join(f"{storage}: {why}" for storage, why in whys.items())
