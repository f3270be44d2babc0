"""The part of the store in memory that keeps rules and transfers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from pilotage.central.store.rules import (
    RULES_MAX,
    NewRule,
    RuleRow,
    Tally,
    TooManyRules,
    TransferRow,
    anew,
)
from pilotage.proto.catalogue import RuleState


@dataclass
class RuleData:
    """What survives a restart."""

    rules: dict[int, RuleRow] = field(default_factory=dict[int, RuleRow])
    transfers: dict[int, TransferRow] = field(default_factory=dict[int, TransferRow])
    next_rule: int = 1
    next_transfer: int = 1


class FakeRules:
    """The verbs of `store.rules`."""

    _rule_data: RuleData

    def begin_write(self) -> None:
        """Raise what a write raises now."""
        raise NotImplementedError

    async def synced(self) -> None:
        """Wait for the disk."""
        raise NotImplementedError

    async def add_rule(self, new: NewRule, *, at: float) -> RuleRow:
        self.begin_write()
        data = self._rule_data
        for row in data.rules.values():
            there = row.rule
            if (there.community, there.did, there.query, there.copies, there.storages) == (
                new.community,
                new.did,
                new.query,
                new.copies,
                new.storages,
            ):
                return row
        if len(await self.rules(new.community)) >= RULES_MAX:
            raise TooManyRules
        row = RuleRow(rule_id=data.next_rule, rule=new, made_at=at)
        data.rules[row.rule_id] = row
        data.next_rule += 1
        await self.synced()
        return row

    async def rules(self, community: str | None = None) -> list[RuleRow]:
        rows = self._rule_data.rules.values()
        return [row for row in rows if community in (None, row.rule.community)]

    async def drop_rule(self, community: str, rule_id: int) -> bool:
        self.begin_write()
        data = self._rule_data
        row = data.rules.get(rule_id)
        if row is None or row.rule.community != community:
            return False
        del data.rules[rule_id]
        data.transfers = {i: t for i, t in data.transfers.items() if t.rule_id != rule_id}
        await self.synced()
        return True

    async def retry_rule(self, community: str, rule_id: int) -> int:
        self.begin_write()
        data = self._rule_data
        row = data.rules.get(rule_id)
        if row is None or row.rule.community != community:
            return 0
        failed = [i for i, t in data.transfers.items() if t.rule_id == rule_id and not t.is_open]
        for one in failed:
            del data.transfers[one]
        data.rules[rule_id] = msgspec.structs.replace(
            row, state=RuleState.REPLICATING, tally=anew(row.tally), why=""
        )
        await self.synced()
        return len(failed)

    async def tell_rule(self, rule_id: int, state: RuleState, tally: Tally, why: str) -> None:
        self.begin_write()
        row = self._rule_data.rules.get(rule_id)
        if row is not None:
            told = msgspec.structs.replace(row, state=state, tally=tally, why=why)
            self._rule_data.rules[rule_id] = told
        await self.synced()

    async def transfers(self, *, only_open: bool = False) -> list[TransferRow]:
        rows = self._rule_data.transfers.values()
        return [row for row in rows if row.is_open or not only_open]

    async def order_transfers(self, wanted: Sequence[tuple[int, int, str]]) -> list[TransferRow]:
        self.begin_write()
        data = self._rule_data
        ordered: list[TransferRow] = []
        for rule_id, file_id, storage in wanted:
            known = [
                row
                for row in data.transfers.values()
                if (row.file_id, row.storage) == (file_id, storage)
            ]
            if known and known[0].is_open:
                continue
            if known:
                row = msgspec.structs.replace(known[0], is_open=True, job_id=None, rule_id=rule_id)
            else:
                row = TransferRow(
                    transfer_id=data.next_transfer,
                    rule_id=rule_id,
                    file_id=file_id,
                    storage=storage,
                    is_open=True,
                )
                data.next_transfer += 1
            data.transfers[row.transfer_id] = row
            ordered.append(row)
        await self.synced()
        return ordered

    async def transfer_job(self, transfer_id: int, job_id: int) -> None:
        self.begin_write()
        row = self._rule_data.transfers.get(transfer_id)
        if row is not None and row.is_open:
            told = msgspec.structs.replace(row, job_id=job_id)
            self._rule_data.transfers[transfer_id] = told
        await self.synced()

    async def end_transfers(self, ends: Sequence[tuple[int, str, float]]) -> None:
        self.begin_write()
        transfers = self._rule_data.transfers
        for transfer_id, why, not_before in ends:
            row = transfers.get(transfer_id)
            if row is None:
                continue
            if not why:
                del transfers[transfer_id]
            elif row.is_open:
                transfers[transfer_id] = msgspec.structs.replace(
                    row,
                    is_open=False,
                    failures=row.failures + 1,
                    not_before=not_before,
                    why=why,
                )
        await self.synced()
