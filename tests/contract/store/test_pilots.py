"""The contract of pilots, their secrets, and tokens."""

import msgspec
import pytest

from pilotage.central.identity import record as token_records
from pilotage.central.identity.record_types import TokenRow
from pilotage.central.pilots import record as pilot_records
from pilotage.central.pilots.record_types import MARKS_MAX
from pilotage.central.store.engine import Store
from pilotage.central.store.errors import BadSecret, PilotNotFound, StoreError
from pilotage.proto.job_states import JobState
from pilotage.proto.pilot_states import PilotState

from .conftest import NOW
from .rows import a_registration, a_secret

S = JobState


# -- pilots -------------------------------------------------------------------------------------


async def test_a_secret_makes_a_pilot_that_is_submitted(store: Store) -> None:
    await store.write(pilot_records.add_secrets, [a_secret(1)])
    row = await store.read(pilot_records.pilot, "pilot-1")

    assert row is not None
    assert (row.state, row.session, row.registered_at) == (PilotState.SUBMITTED, 0, None)
    assert (row.community, row.site, row.element, row.made_at) == ("ctao", "PIC", "slurm", 1.0)
    assert await store.read(pilot_records.pilot, "pilot-2") is None


async def test_known_secrets_are_refused_together(store: Store) -> None:
    await store.write(pilot_records.add_secrets, [a_secret(1)])
    with pytest.raises(StoreError):
        await store.write(pilot_records.add_secrets, [a_secret(2), a_secret(1)])

    assert await store.read(pilot_records.pilot, "pilot-2") is None


async def test_registering_is_idempotent_by_nonce(store: Store) -> None:
    await store.write(pilot_records.add_secrets, [a_secret(1)])
    first = await store.write(pilot_records.register, a_registration())
    again = await store.write(
        pilot_records.register, a_registration(renewal_hash="newer", host="node2", at=200.0)
    )

    assert (first.state, first.session, first.nonce) == (PilotState.RUNNING, 1, "nonce")
    assert (first.host, first.node, first.registered_at) == ("node1", b'{"cores":8}', 2.0)
    assert again == first == await store.read(pilot_records.pilot, "pilot-1")


async def test_a_secret_is_refused_when_unknown_used_expired_or_cancelled(store: Store) -> None:
    await store.write(pilot_records.add_secrets, [a_secret(1), a_secret(2), a_secret(3)])
    await store.write(pilot_records.register, a_registration(1))
    await store.write(
        pilot_records.move_pilot, "pilot-3", PilotState.SUBMITTED, PilotState.ABORTED, 2.0, ""
    )
    for bad in (
        a_registration(9),
        a_registration(1, nonce="another"),
        a_registration(2, at=100.0),
        a_registration(3),
    ):
        with pytest.raises(BadSecret):
            await store.write(pilot_records.register, bad)

    row = await store.read(pilot_records.pilot, "pilot-2")
    assert row is not None and row.state is PilotState.SUBMITTED


async def test_hello_opens_the_next_session_once_per_nonce(store: Store) -> None:
    await store.write(pilot_records.add_secrets, [a_secret(1), a_secret(2)])
    await store.write(pilot_records.register, a_registration())
    second = await store.write(pilot_records.hello, "pilot-1", "n2")
    again = await store.write(pilot_records.hello, "pilot-1", "n2")
    third = await store.write(pilot_records.hello, "pilot-1", "n3")
    for unknown in ("pilot-9", "pilot-2"):
        with pytest.raises(PilotNotFound):
            await store.write(pilot_records.hello, unknown, "n")

    assert (second.session, again.session, third.session) == (2, 2, 3)
    assert await store.read(pilot_records.pilot, "pilot-1") == third


async def test_a_session_that_is_named_opens_only_after_all_before_it(store: Store) -> None:
    await store.write(pilot_records.add_secrets, [a_secret(1)])
    await store.write(pilot_records.register, a_registration())
    said = [
        (2, "n2"),
        (4, "n4"),
        (2, "n2"),
        (3, "n3"),
        (4, "n4"),
        (4, "twin"),
        (0, "any"),
        (6, "n6"),
    ]
    rows = [
        await store.write(pilot_records.hello, "pilot-1", nonce, number) for number, nonce in said
    ]

    opened = [(row.session, row.nonce) for row in rows]
    assert opened[:2] == [(2, "n2"), (4, "n4")]
    assert opened[2:6] == [(4, "n4")] * 4, "late copies, and a second one of the same, open nothing"
    assert opened[6:] == [(5, "any"), (6, "n6")]
    assert await store.read(pilot_records.pilot, "pilot-1") == rows[-1]


async def test_a_renewal_secret_rotates_once_and_the_nonces_of_its_last_uses_are_known(
    store: Store,
) -> None:
    await store.write(pilot_records.add_secrets, [a_secret(1), a_secret(2)])
    first = await store.write(pilot_records.register, a_registration(1, renewals=1))
    older = await store.write(pilot_records.register, a_registration(2))
    marks = [f"{n:016x}" for n in range(MARKS_MAX + 3)]
    rows = [
        await store.write(pilot_records.rotate_secret, "pilot-1", n, mark)
        for n, mark in enumerate(marks, 1)
    ]
    again = await store.write(pilot_records.rotate_secret, "pilot-1", 1, "f" * 16)
    began = await store.write(pilot_records.rotate_secret, "pilot-2", 0, marks[0])
    with pytest.raises(PilotNotFound):
        await store.write(pilot_records.rotate_secret, "pilot-9", 1, marks[0])

    assert (first.renewals, first.used, older.renewals, older.used) == (1, (), 0, ())
    assert (rows[0].renewals, rows[0].used) == (2, (marks[0],))
    assert rows[-1].renewals == len(marks) + 1
    assert rows[-1].used == tuple(reversed(marks))[:MARKS_MAX]
    assert again == rows[-1] == await store.read(pilot_records.pilot, "pilot-1")
    assert (began.renewals, began.used) == (1, (marks[0],))


async def test_a_pilots_state_is_compared_and_set(store: Store) -> None:
    await store.write(pilot_records.add_secrets, [a_secret(1)])
    await store.write(pilot_records.register, a_registration())
    lost = ("pilot-1", PilotState.RUNNING, PilotState.LOST, 9.0, "silent")
    won = [
        await store.write(pilot_records.move_pilot, *lost),
        await store.write(pilot_records.move_pilot, *lost),
    ]
    row = await store.read(pilot_records.pilot, "pilot-1")
    back = await store.write(
        pilot_records.move_pilot, "pilot-1", PilotState.LOST, PilotState.RUNNING, 10.0, ""
    )
    after = await store.read(pilot_records.pilot, "pilot-1")

    assert won == [True, False] and back
    # A lost pilot may come back: it has not ended.
    assert row is not None and (row.ended_at, row.reason) == (None, "silent")
    assert after is not None and (after.state, after.ended_at) == (PilotState.RUNNING, None)


async def test_an_order_to_drain_outlives_each_state_and_each_session(store: Store) -> None:
    await store.write(pilot_records.add_secrets, [a_secret(1), a_secret(2), a_secret(3)])
    for n in (1, 2, 3):
        await store.write(pilot_records.register, a_registration(n))
    await store.write(
        pilot_records.move_pilot,
        "pilot-1",
        PilotState.RUNNING,
        PilotState.DRAINING,
        3.0,
        "it says so",
    )
    await store.write(
        pilot_records.move_pilot, "pilot-1", PilotState.DRAINING, PilotState.LOST, 4.0, "silent"
    )
    await store.write(
        pilot_records.move_pilot, "pilot-1", PilotState.LOST, PilotState.RUNNING, 5.0, "heard again"
    )
    await store.write(
        pilot_records.move_pilot, "pilot-2", PilotState.RUNNING, PilotState.LOST, 4.0, "silent"
    )
    await store.write(pilot_records.order_pilot, "pilot-2", "killed by ada")
    await store.write(pilot_records.order_pilot, "pilot-2")
    await store.write(pilot_records.order_pilot, "pilot-9")
    await store.write(pilot_records.hello, "pilot-2", "next")
    rows = await store.read(pilot_records.pilots, None, states=(), after="", limit=9)

    assert [(row.pilot, row.state, row.drain, row.told) for row in rows] == [
        ("pilot-1", PilotState.RUNNING, True, ""),
        ("pilot-2", PilotState.LOST, True, "killed by ada"),
        ("pilot-3", PilotState.RUNNING, False, ""),
    ]


async def test_pilots_come_in_pages_by_community_and_state(store: Store) -> None:
    secrets = [
        a_secret(n, community="ctao" if n < 5 else "lhcb", site="CSCS" if n == 6 else "PIC")
        for n in range(1, 7)
    ]
    await store.write(pilot_records.add_secrets, secrets)
    await store.write(pilot_records.register, a_registration(3))

    async def names(
        community: str | None, *states: PilotState, after: str = "", site: str = ""
    ) -> list[str]:
        page = await store.read(
            pilot_records.pilots, community, states=states, after=after, limit=3, site=site
        )
        return [row.pilot for row in page]

    assert await names(None) == ["pilot-1", "pilot-2", "pilot-3"]
    assert await names(None, after="pilot-3") == ["pilot-4", "pilot-5", "pilot-6"]
    assert await names("lhcb") == ["pilot-5", "pilot-6"]
    assert await names("ctao", PilotState.RUNNING) == ["pilot-3"]
    assert await names(None, site="CSCS") == ["pilot-6"]
    assert await names("ctao", PilotState.SUBMITTED, PilotState.DONE, after="pilot-2") == [
        "pilot-4"
    ]


# -- tokens -------------------------------------------------------------------------------------


def a_token(jti: str, **fields: object) -> TokenRow:
    plain = TokenRow(
        jti=jti,
        issuer="local",
        subject="ada",
        name="Ada",
        community="ctao",
        groups=("sim", "ana"),
        role="user",
        issued_at=1.0,
        expires_at=NOW + 100,
        issued_by="root",
    )
    return msgspec.structs.replace(plain, **fields)


async def test_a_token_is_revoked_once_and_named_until_it_expires(store: Store) -> None:
    live, old = a_token("live"), a_token("old", expires_at=NOW - 1)
    other = a_token("other", community="lhcb", groups=(), issued_at=0.5)
    for token in (live, old, other):
        await store.write(token_records.add_token, token)
    won = [
        await store.write(token_records.revoke_token, jti, 5.0)
        for jti in ("live", "live", "old", "none")
    ]

    assert won == [True, False, True, False]
    assert await store.read(token_records.revoked, NOW) == [("live", NOW + 100)]
    assert await store.read(token_records.revoked_mark, NOW) == (1, 5.0)
    assert await store.read(token_records.tokens, "lhcb", limit=9) == [other]
    assert await store.read(token_records.tokens, None, limit=9) == [
        msgspec.structs.replace(old, revoked_at=5.0),
        msgspec.structs.replace(live, revoked_at=5.0),
        other,
    ]


async def test_one_token_is_found_by_its_id(store: Store) -> None:
    for jti in ("one", "two"):
        await store.write(token_records.add_token, a_token(jti))

    assert await store.read(token_records.token, "two") == a_token("two")
    assert await store.read(token_records.token, "three") is None


async def test_tokens_are_listed_in_pages_from_the_newest_on(store: Store) -> None:
    for number, issued_at in enumerate([3.0, 1.0, 2.0, 2.0, 2.0]):
        await store.write(token_records.add_token, a_token(f"t{number}", issued_at=issued_at))
    await store.write(token_records.add_token, a_token("bob", issued_at=2.0, subject="bob"))
    await store.write(token_records.add_token, a_token("theirs", issued_at=2.0, issuer="elsewhere"))
    mine = (a_token("").issuer, a_token("").subject)

    async def page(subject: tuple[str, str] | None, *before: tuple[float, str]) -> list[str]:
        more = {"before": before[0]} if before else {}
        return [
            one.jti
            for one in await store.read(token_records.tokens, "ctao", subject, **more, limit=3)
        ]

    assert await page(mine) == ["t0", "t4", "t3"]
    assert await page(mine, (2.0, "t3")) == ["t2", "t1"]
    assert await page(None) == ["t0", "theirs", "t4"]
    assert await page(None, (1.0, "t1")) == []


async def test_tokens_that_have_not_expired_are_counted_up_to_a_bound(store: Store) -> None:
    for jti in ("live", "revoked"):
        await store.write(token_records.add_token, a_token(jti))
    await store.write(token_records.revoke_token, "revoked", 5.0)
    await store.write(token_records.add_token, a_token("old", expires_at=NOW - 1))
    await store.write(token_records.add_token, a_token("bob", subject="bob"))
    mine = (a_token("").issuer, a_token("").subject)

    assert await store.read(token_records.unexpired_tokens, *mine, now=NOW, limit=9) == 2
    assert await store.read(token_records.unexpired_tokens, *mine, now=NOW, limit=1) == 1
    assert (
        await store.read(token_records.unexpired_tokens, "elsewhere", mine[1], now=NOW, limit=9)
        == 0
    )


async def test_the_groups_of_tokens_are_each_told_once(store: Store) -> None:
    for jti, community, groups in [
        ("a", "ctao", ("sim", "ana")),
        ("b", "ctao", ("sim",)),
        ("c", "lhcb", ()),
    ]:
        await store.write(token_records.add_token, a_token(jti, community=community, groups=groups))

    assert sorted(await store.read(token_records.token_groups)) == [
        ("ctao", ""),
        ("ctao", "ana"),
        ("ctao", "sim"),
        ("lhcb", ""),
    ]


async def test_a_token_is_added_once(store: Store) -> None:
    await store.write(token_records.add_token, a_token("one"))
    with pytest.raises(StoreError):
        await store.write(token_records.add_token, a_token("one", subject="bob"))

    assert await store.read(token_records.tokens, None, limit=9) == [a_token("one")]
