"""The scope of a caller: the policy's reach, expressed as restrictions on jobs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ..store.engine import Store
from . import record as identity_records
from .callers import Caller, User
from .policy import Permission, Reach, reach
from .record_types import Holder, Owner, shown


class CountKey(NamedTuple):
    """The key that jobs are counted by, in addition to site and state."""

    community: str
    group: str
    owner: str
    type: str


class OwnedObject(Protocol):
    """An object that belongs to an identity in a group of a community."""

    @property
    def community(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def owner_id(self) -> int: ...


class Owners:
    """The known identities and their shown names.

    An identity is (issuer, subject). Its shown name is the subject alone if the issuer is the local
    one, else `subject@issuer`, so that equal subjects of two issuers stay distinct.
    """

    def __init__(self, store: Store, local_issuer: str) -> None:
        self._store, self._local = store, local_issuer
        self._words: dict[int, str] = {}
        self._ids: dict[tuple[str, str, str], Owner] = {}
        self._owners: dict[int, Owner] = {}
        self._of_person: dict[tuple[str, str], set[int]] = {}  # by issuer and subject
        self._named: dict[tuple[str, str], int] = {}  # by community and shown name

    def learn(self, owner: Owner) -> None:
        """Remember a stored identity."""
        self._words[owner.owner_id] = self.word(owner.issuer, owner.subject)
        self._ids[owner.community, owner.issuer, owner.subject] = owner
        self._owners[owner.owner_id] = owner
        self._of_person.setdefault((owner.issuer, owner.subject), set()).add(owner.owner_id)
        self._named[owner.community, self._words[owner.owner_id]] = owner.owner_id

    def word(self, issuer: str, subject: str) -> str:
        """Return the name by which an identity is shown and counted."""
        return shown(issuer, subject, self._local)

    async def learn_all(self) -> None:
        """Learn all stored identities."""
        for owner in await self._store.read(identity_records.owners):
            self.learn(owner)

    async def meet(self, owner_ids: Iterable[int]) -> None:
        """Learn the given identities if another process has stored some of them."""
        if not all(one in self._words for one in owner_ids):
            await self.learn_all()

    async def recognise(self, caller: Caller) -> None:
        """Learn the identity of a caller, if another process has stored it."""
        if isinstance(caller, User) and self.find(caller.community, caller) is None:
            known = await self._store.read(
                identity_records.find_owner, caller.community, caller.issuer, caller.subject
            )
            if known is not None:
                self.learn(known)

    def by_id(self, owner_id: int) -> str:
        """Return the shown name of a known identity. Call `meet` first for ids from rows."""
        return self._words[owner_id]

    def id_of(self, community: str, word: str) -> int:
        """Return the id of a known owner by its shown name."""
        return self._named[community, word]

    def holder(self, community: str, group: str, owner_id: int) -> Holder:
        """Return the account that is charged for jobs of a known owner."""
        owner = self._owners[owner_id]
        return Holder(community, group, owner_id, owner.issuer, owner.subject)

    async def ids_of(self, word: str) -> tuple[int, ...]:
        """Return the ids of the identities with a shown name, one for each community.

        It reads all identities, because another process may have stored a further one.
        """
        await self.learn_all()
        return tuple(owner_id for owner_id, known in self._words.items() if known == word)

    def of_person(self, issuer: str, subject: str) -> tuple[int, ...]:
        """Return the ids of a person's known identities, one for each community."""
        return tuple(self._of_person.get((issuer, subject), ()))

    def words(self) -> frozenset[str]:
        """Return the shown names of all known identities."""
        return frozenset(self._words.values())

    def owner(self, owner_id: int) -> Owner:
        """Return a known identity. Call `meet` first for ids from rows."""
        return self._owners[owner_id]

    def find(self, community: str, caller: User) -> Owner | None:
        """Return the caller's identity if it is known here, else None."""
        return self._ids.get((community, caller.issuer, caller.subject))

    async def get(self, community: str, caller: User) -> Owner:
        """Return the caller's identity. Store a new one."""
        known = self.find(community, caller)
        if known is None:
            known = await self._store.write(
                identity_records.owner,
                Owner(
                    community=community,
                    issuer=caller.issuer,
                    subject=caller.subject,
                    name=caller.name,
                ),
            )
            self.learn(known)
        return known


@dataclass(frozen=True)
class Scope:
    """Restrictions on jobs. '' and None mean no restriction."""

    community: str
    groups: frozenset[str] | None
    owner: str | None
    owner_id: int | None  # -1: an identity without jobs

    def covers(self, kind: CountKey) -> bool:
        """Return whether jobs of this kind are within the scope."""
        return (
            (not self.community or kind.community == self.community)
            and (self.groups is None or kind.group in self.groups)
            and (self.owner is None or kind.owner == self.owner)
        )

    def covers_holding(self, community: str, group: str, owner_id: int) -> bool:
        """Return whether a holding of this owner and group is within the scope."""
        return (
            (not self.community or community == self.community)
            and (self.groups is None or group in self.groups)
            and (self.owner_id is None or owner_id == self.owner_id)
        )

    def covers_row(self, row: OwnedObject) -> bool:
        return (
            (not self.community or row.community == self.community)
            and (self.groups is None or row.group in self.groups)
            and (self.owner_id is None or row.owner_id == self.owner_id)
        )


def scope(caller: Caller, action: Permission, owners: Owners) -> Scope:
    """Return the scope of `caller` for `action`. Without the right, the scope is empty.

    A user's own jobs must also be in the token's groups. The subject alone gives no rights, because
    a manager can write any subject into a token.
    """
    assert isinstance(caller, User), "only users act on jobs"
    right = reach(caller, action)
    known = owners.find(caller.community, caller)
    own = right is Reach.OWN
    return Scope(
        community=caller.community if right is not Reach.ALL else "",
        groups=_groups(caller, right),
        owner=owners.word(caller.issuer, caller.subject) if own else None,
        owner_id=(known.owner_id if known else -1) if own else None,
    )


def _groups(caller: User, right: Reach) -> frozenset[str] | None:
    if right >= Reach.COMMUNITY:
        return None
    return frozenset(caller.groups) if right is not Reach.NONE else frozenset()
