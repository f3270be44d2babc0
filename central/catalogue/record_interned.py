"""The writer's cache of rows that many files share, and the column form of metadata values.

A rollback clears the cache.
"""

import hashlib
from typing import Any, Final, Protocol, cast

import msgspec

from pilotage.proto.catalogue import KeyType, Metadata, Value

from .record_types import KEYS_MAX, SETS_STEP

SETS_KNOWN_MAX: Final = 20_000
Columns = tuple[float, str]  # number, text

encode: Final = msgspec.json.Encoder(order="sorted").encode
decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


def columns(value: Value) -> Columns:
    """Return the columns of a value: (number, "") for a number, (0, text) for a text."""
    return (0.0, value) if isinstance(value, str) else (float(value), "")


def value_of(number: float, text: str, kind: KeyType) -> Value:
    """Return the value that these columns hold."""
    if kind is KeyType.STRING:
        return text
    if kind is KeyType.BOOLEAN:
        return bool(number)
    return int(number) if number.is_integer() else number


class MetadataKey:
    """A metadata key of a community."""

    __slots__ = ("is_own", "key_id", "kind", "values")

    def __init__(self, key_id: int, kind: KeyType, is_own: bool) -> None:
        self.key_id, self.kind, self.is_own = key_id, kind, is_own
        self.values: set[Columns] | None = None  # all values it has had; None: not read yet


class Statements(Protocol):
    """The methods of a session that this module uses."""

    def one(self, statement: str, parameters: Any = ()) -> Any: ...
    def rows(self, statement: str, parameters: Any = ()) -> list[Any]: ...
    def run(self, statement: str, parameters: Any = ()) -> Any: ...
    def many(self, statement: str, rows: Any) -> int: ...


class InternedIds:
    """Cached ids of communities, scopes, keys and sets."""

    def __init__(self) -> None:
        self._communities: dict[str, int] = {}
        self._scopes: dict[tuple[int, str], int] = {}
        self._keys: dict[int, dict[str, MetadataKey]] = {}
        self._sets: dict[tuple[int, bytes], int] = {}
        self._metadata: dict[int, Metadata] = {}
        self._set_counts: dict[int, int] = {}

    def forget(self) -> None:
        for known in (
            self._communities,
            self._scopes,
            self._keys,
            self._sets,
            self._metadata,
            self._set_counts,
        ):
            cast(dict[Any, Any], known).clear()

    def community(self, session: Statements, community: str) -> int:
        """Return the id of a community. An unknown community is stored first."""
        known = self._communities.get(community)
        if known is None:
            session.run("insert_data_community", {"community": community})
            known = int(session.one("data_community", {"community": community})[0])
            self._communities[community] = known
        return known

    def scope(self, session: Statements, community_id: int, scope: str) -> int:
        """Return the id of a scope. An unknown scope is stored first."""
        known = self._scopes.get((community_id, scope))
        if known is None:
            given = {"community_id": community_id, "scope": scope}
            session.run("insert_data_scope", given)
            known = int(session.one("data_scope", given)[0])
            if len(self._scopes) >= SETS_KNOWN_MAX:
                self._scopes.clear()
            self._scopes[community_id, scope] = known
        return known

    # -- keys -----------------------------------------------------------------------------------

    def keys(self, session: Statements, community_id: int) -> dict[str, MetadataKey]:
        """Return all keys of a community, by name."""
        known = self._keys.get(community_id)
        if known is None:
            rows = session.rows("meta_keys", {"community_id": community_id})
            known = {row[1]: MetadataKey(row[0], KeyType(row[2]), bool(row[3])) for row in rows}
            self._keys[community_id] = known
        return known

    def add_key(
        self, session: Statements, community_id: int, key: str, kind: KeyType
    ) -> MetadataKey:
        """Store a new key."""
        given = {"community_id": community_id, "key": key, "type": kind.value}
        made = MetadataKey(int(session.one("insert_meta_key", given)[0]), kind, False)
        made.values = set()
        self.keys(session, community_id)[key] = made
        return made

    def values(self, session: Statements, key: MetadataKey) -> set[Columns]:
        """Return the values that a shared key has had so far."""
        if key.values is None:
            rows = session.rows("meta_values", {"key_id": key.key_id})
            key.values = {(row[0], row[1]) for row in rows}
        return key.values

    def make_own(self, session: Statements, key: MetadataKey) -> None:
        """Make a key own: from now on each file stores its value of the key itself."""
        key.is_own, key.values = True, set()
        session.run("make_key_own", {"key_id": key.key_id})
        session.run("remove_meta_values", {"key_id": key.key_id})

    # -- sets -----------------------------------------------------------------------------------

    def set_of(self, session: Statements, community_id: int, shared: Metadata) -> int:
        """Return the id of the set with these metadata. An unknown set is stored first."""
        text = encode(shared)
        known = self._sets.get((community_id, text))
        if known is None:
            known = self._stored_set(session, community_id, text)
            if len(self._sets) >= SETS_KNOWN_MAX:
                self._sets.clear()
            self._sets[community_id, text] = known
        return known

    def _stored_set(self, session: Statements, community_id: int, text: bytes) -> int:
        digest = hashlib.sha256(text).digest()
        given = {"community_id": community_id, "hash": digest}
        found = session.one("meta_set_of_hash", given)
        if found is None:
            made = session.one("insert_meta_set", {**given, "metadata": text.decode()})
            self._set_counts[community_id] = self._count(session, community_id) + 1
            return int(made[0])
        return int(found[0])

    def _count(self, session: Statements, community_id: int) -> int:
        known = self._set_counts.get(community_id)
        if known is None:  # the count includes the new set
            known = int(session.one("count_meta_sets", {"community_id": community_id})[0]) - 1
        return known

    def limit_sets(self, session: Statements, community_id: int, before: int) -> None:
        """Make the keys with the most values own after many new sets, so that sets stay few.

        Each step makes twice as many keys own as the step before. Keys with few values, and keys
        that only some files have, therefore soon become own too, and the number of sets is bounded.
        """
        step = self._set_counts.get(community_id, 0) // SETS_STEP
        if step == before // SETS_STEP:
            return
        keys = [one for one in self.keys(session, community_id).values() if not one.is_own]
        keys.sort(key=lambda one: (-len(self.values(session, one)), -one.key_id))
        for key in keys[: 1 << min(step - 1, KEYS_MAX.bit_length())]:
            if self.values(session, key):
                self.make_own(session, key)

    def sets_made(self, session: Statements, community_id: int) -> int:
        """Return how many sets a community has."""
        if community_id not in self._set_counts:
            counted = session.one("count_meta_sets", {"community_id": community_id})
            self._set_counts[community_id] = int(counted[0])
        return self._set_counts[community_id]

    def metadata_of(self, session: Statements, set_id: int) -> Metadata:
        """Return the metadata of a set. The caller must not change them."""
        known = self._metadata.get(set_id)
        if known is None:
            known = decode(session.one("meta_set", {"set_id": set_id})[0])
            if len(self._metadata) >= SETS_KNOWN_MAX:
                self._metadata.clear()
            self._metadata[set_id] = known
        return known
