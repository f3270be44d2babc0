"""Classes of jobs: jobs of one owner with equal needs are stored and matched as one class."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from pilotage.matcher.types import ClassSpec
from pilotage.proto.documents.job import Need, Preference
from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.scope import CountKey, Owners
from ..store.engine import Store
from . import record_submissions as submission_records
from .record_types import JobClassRow

_needs = msgspec.json.Decoder(tuple[Need, ...]).decode
_preference = msgspec.json.Decoder(Preference | None).decode


class _Wishes(msgspec.Struct, frozen=True):
    """The content of the column `preference` for jobs of a submission with a limit."""

    submission: str  # its key; it comes first, to distinguish this from a plain preference
    running_max: int
    preference: Preference | None


_wishes = msgspec.json.Decoder(_Wishes).decode
_WISHES = b'{"submission":'
ClassKey = tuple[str, str, int, str, bytes, bytes]


@dataclass(frozen=True)
class KnownClass:
    """A decoded class of jobs, for the services."""

    spec: ClassSpec
    kind: CountKey
    key: ClassKey

    @property
    def owner_id(self) -> int:
        return self.key[2]


def wished(preference: Preference | None, submission: str, running_max: int) -> bytes:
    """Return the column `preference` for jobs of a class.

    `running_max` limits how many jobs of the submission with this key run at once. 0 means no
    limit.
    """
    if not running_max:
        return msgspec.json.encode(preference)
    return msgspec.json.encode(_Wishes(submission, running_max, preference))


def class_info(row: JobClassRow, owner: str) -> KnownClass:
    """Return a decoded class."""
    wishes = (
        _wishes(row.preference)
        if row.preference.startswith(_WISHES)
        else _Wishes("", 0, _preference(row.preference))
    )
    spec = ClassSpec(
        class_id=row.class_id,
        community=row.community,
        group=row.group,
        owner=owner,
        type=row.type,
        needs=_needs(row.needs),
        preference=wishes.preference,
        submission=wishes.submission,
        running_max=wishes.running_max,
    )
    return KnownClass(spec, CountKey(row.community, row.group, owner, row.type), _key(row))


class JobClasses:
    """The classes of waiting and running jobs, by their contents.

    A class without such jobs is dropped from memory after a while (`idle`), and read again when it
    is needed. So memory and the search for work do not grow with all past submissions.
    """

    def __init__(self, store: Store, owners: Owners, *, an_owner_max: int) -> None:
        self._store, self._owners, self._max = store, owners, an_owner_max
        self._known: dict[ClassKey, KnownClass] = {}
        self._of_owner: Counter[int] = Counter()

    def learn(self, row: JobClassRow) -> KnownClass:
        """Decode a stored class, remember it and return it."""
        made = class_info(row, self._owners.by_id(row.owner_id))
        self.keep(made)
        return made

    def keep(self, info: KnownClass) -> None:
        """Remember a class, even if it was dropped before."""
        if info.key not in self._known:
            self._of_owner[info.owner_id] += 1
        self._known[info.key] = info

    def forget(self, info: KnownClass) -> None:
        """Drop a class from memory, if it is known."""
        if self._known.pop(info.key, None) is not None:
            self._of_owner[info.owner_id] -= 1
            if not self._of_owner[info.owner_id]:
                del self._of_owner[info.owner_id]

    async def intern(
        self, rows: Sequence[JobClassRow]
    ) -> tuple[list[KnownClass], list[KnownClass]]:
        """Return the class of each row, and the new classes among them, which it has stored.

        All rows have the same owner. Raises Refused, with nothing stored, if the owner would have
        too many classes.
        """
        known = [self._known.get(_key(row)) for row in rows]
        infos = [info for info in known if info is not None]
        if len(infos) == len(rows):
            return infos, []
        absent = {_key(row): row for row, info in zip(rows, known, strict=True) if info is None}
        self._check_room(rows[0].owner_id, len(absent))
        ids = await self._store.write(submission_records.classes, list(absent.values()))
        new = {
            key: self.learn(msgspec.structs.replace(row, class_id=class_id))
            for class_id, (key, row) in zip(ids, absent.items(), strict=True)
        }
        infos = [info or new[_key(row)] for row, info in zip(rows, known, strict=True)]
        return infos, list(new.values())

    def _check_room(self, owner_id: int, count: int) -> None:
        if self._of_owner[owner_id] + count > self._max:
            raise Refused(
                Code.TOO_LARGE,
                f"your waiting and running jobs would have more than {self._max} kinds (jobs of "
                "one kind have equal group, type, needs and preference): make more jobs equal, or "
                "wait some minutes until others have ended",
                field="jobs",
            )

    async def read(self, class_ids: Sequence[int]) -> list[KnownClass]:
        """Return stored classes, decoded, without remembering them."""
        rows = await self._store.read(submission_records.classes_given, class_ids)
        await self._owners.meet(row.owner_id for row in rows)
        return [class_info(row, self._owners.by_id(row.owner_id)) for row in rows]


def _key(row: JobClassRow) -> ClassKey:
    return (row.community, row.group, row.owner_id, row.type, row.needs, row.preference)
