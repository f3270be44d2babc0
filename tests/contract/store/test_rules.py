"""Rules and transfers: kept, counted, each copy made once at a time."""

import random
import string

import msgspec
import pytest

from pilotage.central.identity import record as identity_records
from pilotage.central.identity.record_types import Owner
from pilotage.central.store.engine import Store
from pilotage.central.transfers import record as rule_records
from pilotage.central.transfers.record import NewRule, RuleProgress, TooManyRules
from pilotage.proto.catalogue import RuleState

from .conftest import NOW, Reopen


async def a_rule(store: Store, copies: int = 2, *, community: str = "ctao") -> NewRule:
    ada = Owner(community=community, issuer="here", subject="ada", name="Ada")
    return NewRule(
        community=community,
        owner=await store.write(identity_records.owner, ada),
        group="users",
        did="",
        query={"run": {">=": 20}, "particle": "gamma"},
        copies=copies,
        storages=("PIC", "CSCS"),
    )


async def test_a_rule_is_kept_once_with_how_far_it_is(store: Store, reopen: Reopen) -> None:
    new = await a_rule(store)
    first = await store.write(rule_records.add_rule, new, at=NOW)
    again = await store.write(rule_records.add_rule, new, at=NOW + 5)
    other = await store.write(rule_records.add_rule, await a_rule(store, copies=1), at=NOW)
    await store.write(rule_records.add_rule, await a_rule(store, community="lhcb"), at=NOW)
    tally = RuleProgress(files=5, there=3, moving=1, wanted=2, stuck=4)
    await store.write(rule_records.tell_rule, first.rule_id, RuleState.STUCK, tally, "no room")
    store = await reopen(store)
    rows = await store.read(rule_records.rules, "ctao")

    assert first == again
    assert [row.rule_id for row in rows] == [first.rule_id, other.rule_id]
    assert (rows[0].rule, rows[0].made_at) == (new, NOW)
    assert (rows[0].state, rows[0].tally, rows[0].why) == (RuleState.STUCK, tally, "no room")
    assert len(await store.read(rule_records.rules)) == 3


async def test_a_rule_may_be_as_long_as_one_can_say_it(store: Store) -> None:
    chance = random.Random(7)
    long = msgspec.structs.replace(
        await a_rule(store),
        did=f"users:{_noise(chance, 400)}",
        query={"run": {"in": [_noise(chance, 100) for _ in range(300)]}},
        storages=tuple(_noise(chance, 64) for _ in range(100)),
    )
    first = await store.write(rule_records.add_rule, long, at=NOW)
    again = await store.write(rule_records.add_rule, long, at=NOW + 5)
    other = await store.write(
        rule_records.add_rule, msgspec.structs.replace(long, query={}), at=NOW
    )

    assert first == again and first.rule == long
    assert other.rule_id != first.rule_id


def _noise(chance: random.Random, length: int) -> str:
    """Return what cannot be packed into less."""
    return "".join(chance.choices(string.ascii_letters + string.digits, k=length))


async def test_there_is_a_bound_on_rules(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilotage.central.transfers.record.RULES_MAX", 1)
    first = await store.write(rule_records.add_rule, await a_rule(store), at=NOW)

    with pytest.raises(TooManyRules):
        await store.write(rule_records.add_rule, await a_rule(store, copies=1), at=NOW)
    assert (await store.write(rule_records.add_rule, await a_rule(store), at=NOW)) == first


async def test_a_copy_is_ordered_once_at_a_time(store: Store, reopen: Reopen) -> None:
    rule = await store.write(rule_records.add_rule, await a_rule(store), at=NOW)
    wanted = [(rule.rule_id, 7, "PIC"), (rule.rule_id, 8, "PIC"), (rule.rule_id, 7, "PIC")]
    ordered = await store.write(rule_records.order_transfers, wanted)
    again = await store.write(rule_records.order_transfers, wanted)
    await store.write(rule_records.transfer_job, ordered[0].transfer_id, 33)
    store = await reopen(store)

    assert [(row.file_id, row.storage, row.job_id) for row in ordered] == [
        (7, "PIC", None),
        (8, "PIC", None),
    ]
    assert again == []
    assert [(row.job_id, row.is_open) for row in await store.read(rule_records.transfers)] == [
        (33, True),
        (None, True),
    ]


async def test_what_failed_can_be_ordered_again_and_what_is_done_goes(store: Store) -> None:
    rule = await store.write(rule_records.add_rule, await a_rule(store), at=NOW)
    wanted = [(rule.rule_id, 7, "PIC"), (rule.rule_id, 8, "PIC")]
    first, second = await store.write(rule_records.order_transfers, wanted)
    await store.write(rule_records.transfer_job, first.transfer_id, 33)
    await store.write(rule_records.end_transfers, [(first.transfer_id, "no room", 1_060.0)])
    await store.write(rule_records.end_transfers, [(first.transfer_id, "said twice", 1_090.0)])
    await store.write(rule_records.end_transfers, [(second.transfer_id, "", 0.0)])
    (failed,) = await store.read(rule_records.transfers)
    none_open = await store.read(rule_records.transfers, only_open=True)
    (again,) = await store.write(rule_records.order_transfers, wanted[:1])

    assert (failed.is_open, failed.failures, failed.why, failed.not_before) == (
        False,
        1,
        "no room",
        1_060.0,
    )
    assert none_open == []
    assert (again.transfer_id, again.failures, again.job_id) == (first.transfer_id, 1, None)


async def test_what_has_failed_is_ordered_anew_when_a_rule_is_retried(store: Store) -> None:
    rule = await store.write(rule_records.add_rule, await a_rule(store), at=NOW)
    other = await store.write(rule_records.add_rule, await a_rule(store, copies=1), at=NOW)
    failed, open_one = await store.write(
        rule_records.order_transfers, [(rule.rule_id, 7, "PIC"), (rule.rule_id, 8, "PIC")]
    )
    (theirs,) = await store.write(rule_records.order_transfers, [(other.rule_id, 9, "PIC")])
    await store.write(
        rule_records.end_transfers, [(one.transfer_id, "no", NOW) for one in (failed, theirs)]
    )
    await store.write(
        rule_records.tell_rule,
        rule.rule_id,
        RuleState.STUCK,
        RuleProgress(files=2, moving=1, stuck=1),
        "no",
    )

    assert await store.write(rule_records.retry_rule, "lhcb", rule.rule_id) == 0
    assert await store.write(rule_records.retry_rule, "ctao", rule.rule_id) == 1
    left = [one.transfer_id for one in await store.read(rule_records.transfers)]
    assert left == [open_one.transfer_id, theirs.transfer_id]
    told = (await store.read(rule_records.rules, "ctao"))[0]
    assert (told.state, told.why) == (RuleState.REPLICATING, "")
    assert told.tally == RuleProgress(files=2, moving=1, wanted=1)
    (again,) = await store.write(rule_records.order_transfers, [(rule.rule_id, 7, "PIC")])
    assert again.failures == 0
    assert again.transfer_id not in {failed.transfer_id, *left}  # and so is its job another one


async def test_with_a_rule_go_its_transfers(store: Store) -> None:
    rule = await store.write(rule_records.add_rule, await a_rule(store), at=NOW)
    await store.write(rule_records.order_transfers, [(rule.rule_id, 7, "PIC")])

    assert not await store.write(rule_records.drop_rule, "lhcb", rule.rule_id)
    assert await store.write(rule_records.drop_rule, "ctao", rule.rule_id)
    assert not await store.write(rule_records.drop_rule, "ctao", rule.rule_id)
    assert await store.read(rule_records.rules) == []
    assert await store.read(rule_records.transfers) == []
