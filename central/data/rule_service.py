"""What people say and see of rules."""

from typing import Protocol

from pilotage.proto.api_data import RuleList, RuleRequest, RuleView
from pilotage.proto.catalogue import Did, NotRight, parse_query
from pilotage.proto.nearest import unknown
from pilotage.proto.problems import Code

from ..auth.callers import User
from ..auth.policy import Action, Reach, require
from ..errors import Refused
from ..observe.times import shown
from ..store.catalogue import CatalogueStore
from ..store.rules import NewRule, RuleRow, RuleStore
from .catalogue import Owners, refused
from .rights import community_of
from .storages import Storages


class Clock(Protocol):
    def wall(self) -> float: ...


class Keeps(CatalogueStore, RuleStore, Protocol):
    """What of a store is needed here."""


class RuleService:
    """Rules, for faces."""

    def __init__(self, store: Keeps, storages: Storages, owners: Owners, clock: Clock) -> None:
        self._store, self._storages, self._owners = store, storages, owners
        self._clock = clock

    async def add(self, caller: User, asked: RuleRequest, /) -> RuleView:
        """Keep copies of files from now on. Raises Refused with the field."""
        require(caller, Action.DATA_WRITE)
        community = community_of(caller)
        if not caller.groups:
            message = "your token names no group: the jobs that make copies run for one"
            raise Refused(Code.FORBIDDEN, message)
        try:
            await self._check(community, asked)
        except NotRight as why:
            raise refused(why) from None
        new = NewRule(
            community=community,
            owner=await self._owners.get(community, caller),
            group=caller.groups[0],
            did=asked.did,
            query=parse_query(asked.query).document(),
            copies=asked.copies,
            storages=asked.storages,
        )
        return self._view(await self._store.add_rule(new, at=self._clock.wall()))

    async def _check(self, community: str, asked: RuleRequest) -> None:
        if bool(asked.did) == bool(asked.query):
            raise NotRight("did", asked.did, "either a file or dataset, or a query")
        known = self._storages.book.storages
        for name in asked.storages:
            if name not in known:
                right = f"one that is there: {unknown(name, known, what='storage')}"
                raise NotRight("storages", name, right)
            if not known[name].writable:
                raise NotRight("storages", name, "a storage that is writable")
        if len(set(asked.storages)) != len(asked.storages):
            raise NotRight("storages", ", ".join(asked.storages), "each storage once")
        if asked.copies > len(asked.storages):
            right = f"at most {len(asked.storages)}: a storage has one copy of a file"
            raise NotRight("copies", asked.copies, right)
        if asked.did:
            did = Did.parse(asked.did)
            (file,) = await self._store.files_by_did(community, [did])
            if file is None and await self._store.dataset(community, did) is None:
                raise NotRight("did", asked.did, "a file or a dataset of the catalogue")
        else:
            keys = {one.key: one.type for one in await self._store.keys(community)}
            parse_query(asked.query).check(keys)

    async def all(self, caller: User, /) -> RuleList:
        require(caller, Action.DATA_READ)
        rows = await self._store.rules(community_of(caller))
        return RuleList(rules=[self._view(row) for row in rows])

    async def show(self, caller: User, rule_id: int, /) -> RuleView:
        return self._view(await self._get(caller, rule_id))

    async def drop(self, caller: User, rule_id: int, /) -> None:
        """Drop a rule; copies stay. Raises Refused, NOT_FOUND or FORBIDDEN."""
        row = await self._own(caller, rule_id)
        await self._store.drop_rule(row.rule.community, rule_id)

    async def retry(self, caller: User, rule_id: int, /) -> RuleView:
        """Try copies anew that have failed, now. Raises Refused, NOT_FOUND or FORBIDDEN."""
        row = await self._own(caller, rule_id)
        await self._store.retry_rule(row.rule.community, rule_id)
        return self._view(await self._get(caller, rule_id))

    async def _own(self, caller: User, rule_id: int) -> RuleRow:
        """Return a rule that the caller may change."""
        reach = require(caller, Action.DATA_WRITE)
        row = await self._get(caller, rule_id)
        owner = await self._owners.get(row.rule.community, caller)
        own = row.rule.owner.owner_id == owner.owner_id
        allowed = {Reach.OWN: own, Reach.GROUP: own or row.rule.group in caller.groups}
        if not allowed.get(reach, True):
            raise Refused(Code.FORBIDDEN, f"rule {rule_id} is not your own", field="rule")
        return row

    async def _get(self, caller: User, rule_id: int) -> RuleRow:
        for row in await self._store.rules(community_of(caller)):
            if row.rule_id == rule_id:
                return row
        raise Refused(Code.NOT_FOUND, f"there is no rule {rule_id}", field="rule")

    def _view(self, row: RuleRow) -> RuleView:
        return RuleView(
            id=row.rule_id,
            copies=row.rule.copies,
            storages=list(row.rule.storages),
            state=row.state,
            did=row.rule.did,
            query=row.rule.query,
            files=row.tally.files,
            there=row.tally.there,
            moving=row.tally.moving,
            wanted=row.tally.wanted,
            stuck=row.tally.stuck,
            why=row.why,
            owner=self._owners.by_id(row.rule.owner.owner_id),
            at=shown(row.made_at),
        )
