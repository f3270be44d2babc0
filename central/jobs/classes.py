"""Classes of jobs: equal needs of the same owner are interned, stored once, matched as one."""

from dataclasses import dataclass

import msgspec

from pilotage.matcher.types import ClassSpec
from pilotage.proto.job import Need, Preference

from ..store.protocol import Store
from ..store.records import JobClass
from .counters import Kind
from .scope import Owners

_needs = msgspec.json.Decoder(tuple[Need, ...]).decode
_preference = msgspec.json.Decoder(Preference | None).decode
Key = tuple[str, str, int, str, bytes, bytes]


@dataclass(frozen=True)
class ClassInfo:
    """A class of jobs as the services see it."""

    spec: ClassSpec
    kind: Kind


def class_info(row: JobClass, owner: str) -> ClassInfo:
    """Return a stored class, decoded."""
    spec = ClassSpec(
        class_id=row.class_id,
        community=row.community,
        group=row.group,
        owner=owner,
        type=row.type,
        needs=_needs(row.needs),
        preference=_preference(row.preference),
    )
    return ClassInfo(spec, Kind(row.community, row.group, owner, row.type))


class Classes:
    """All classes that are known, by what makes them equal."""

    def __init__(self, store: Store, owners: Owners) -> None:
        self._store, self._owners = store, owners
        self._known: dict[Key, ClassInfo] = {}

    def learn(self, row: JobClass) -> ClassInfo:
        """Make a stored class known and return it."""
        made = self._known[_key(row)] = class_info(row, self._owners.by_id(row.owner_id))
        return made

    def find(self, row: JobClass) -> ClassInfo | None:
        """Return the class with these needs, if it is known."""
        return self._known.get(_key(row))

    async def store(self, row: JobClass) -> ClassInfo:
        """Store a new class and return it."""
        class_id = (await self._store.classes([row]))[0]
        return self.learn(msgspec.structs.replace(row, class_id=class_id))


def _key(row: JobClass) -> Key:
    return (row.community, row.group, row.owner_id, row.type, row.needs, row.preference)
