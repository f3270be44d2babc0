"""Bans of persons: one a person, in force or lifted, and kept."""

import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity import record as identity_records
from pilotage.central.identity.bans import record as ban_records
from pilotage.central.identity.bans.record import BanRow, IssuedRow, NewBan
from pilotage.central.identity.record_types import Owner, TokenRow
from pilotage.central.identity.sessions import rows as session_rows
from pilotage.central.store.engine import Store
from pilotage.proto.problems import Code

from .conftest import Reopen
from .rows import a_session

ISSUER = "https://iam.test/"
OTHER = "https://other.test/"


def a_ban(subject: str, *, at: float = 10.5, who: str = "oscar", reason: str = "") -> NewBan:
    return NewBan(issuer=ISSUER, subject=subject, who=who, reason=reason, at=at)


def a_token(
    jti: str,
    subject: str,
    *,
    issued_by: str = "eve",
    role: str = "user",
    expires_at: float = 1_000.0,
    revoked_at: float | None = None,
) -> TokenRow:
    return TokenRow(
        jti=jti,
        issuer="local",
        subject=subject,
        name="",
        community="ctao",
        groups=(),
        role=role,
        issued_at=0.0,
        expires_at=expires_at,
        issued_by=issued_by,
        revoked_at=revoked_at,
    )


async def test_a_person_is_banned_once_until_it_is_lifted(store: Store, reopen: Reopen) -> None:
    eve, is_new = await store.write(ban_records.put_ban, a_ban("eve", reason="stolen token"))
    again = await store.write(ban_records.put_ban, a_ban("eve", at=20.0, who="adam"))
    bob, _ = await store.write(ban_records.put_ban, a_ban("bob", at=11.25))
    store = await reopen(store)

    assert is_new
    assert again == (eve, False), "the first ban stays as it is"
    assert (eve.issuer, eve.subject, eve.who, eve.reason, eve.at) == (
        *(ISSUER, "eve", "oscar", "stolen token", 10.5),
    )
    assert await store.read(ban_records.open_bans) == [eve, bob]
    assert await store.read(ban_records.ban_of_person, ISSUER, "bob") == bob
    assert await store.read(ban_records.ban_of_person, "local", "bob") is None


async def test_a_lifted_ban_is_over_once_its_jobs_are_released(store: Store) -> None:
    eve, _ = await store.write(ban_records.put_ban, a_ban("eve"))
    lifted, was_in_force = await store.write(ban_records.lift_ban, eve.ban_id, "adam", 30.0)
    assert lifted is not None
    repeated = await store.write(ban_records.lift_ban, eve.ban_id, "bob", 40.0)
    while_open = await store.read(ban_records.open_bans)
    is_over = await store.write(ban_records.end_ban, lifted, 50.0)

    assert (was_in_force, lifted.is_in_force) == (True, False)
    assert (lifted.lifted_by, lifted.lifted_at) == ("adam", 30.0)
    assert repeated == (lifted, False)
    assert while_open == [lifted]
    assert is_over
    assert await store.read(ban_records.open_bans) == []
    assert await store.write(ban_records.lift_ban, 99, "adam", 30.0) == (None, False)


async def test_whoever_is_banned_again_keeps_the_number_and_the_release_does_not_end_it(
    store: Store,
) -> None:
    eve, _ = await store.write(ban_records.put_ban, a_ban("eve"))
    lifted, _ = await store.write(ban_records.lift_ban, eve.ban_id, "adam", 30.0)
    assert lifted is not None
    anew, is_new = await store.write(ban_records.put_ban, a_ban("eve", at=31.0, who="bob"))
    is_over = await store.write(ban_records.end_ban, lifted, 50.0)

    assert (anew.ban_id, is_new, is_over) == (eve.ban_id, True, False)
    assert (anew.who, anew.at, anew.lifted_by, anew.lifted_at) == ("bob", 31.0, "", None)
    assert await store.read(ban_records.open_bans) == [anew]


async def test_the_mark_changes_with_what_is_open(store: Store) -> None:
    marks: list[object] = [await store.read(ban_records.open_bans_mark)]
    eve, _ = await store.write(ban_records.put_ban, a_ban("eve"))
    marks.append(await store.read(ban_records.open_bans_mark))
    lifted, _ = await store.write(ban_records.lift_ban, eve.ban_id, "adam", 30.0)
    assert lifted is not None
    marks.append(await store.read(ban_records.open_bans_mark))
    await store.write(ban_records.put_ban, a_ban("eve", at=31.0))
    marks.append(await store.read(ban_records.open_bans_mark))
    again, _ = await store.write(ban_records.lift_ban, eve.ban_id, "adam", 32.0)
    assert again is not None
    await store.write(ban_records.end_ban, again, 33.0)

    assert len(set(marks)) == 4
    assert await store.read(ban_records.open_bans_mark) == marks[0]


async def test_bans_are_listed_page_by_page_and_old_ones_go(store: Store) -> None:
    rows: list[BanRow] = []
    for number in range(4):
        row, _ = await store.write(ban_records.put_ban, a_ban(f"p{number}", at=float(number)))
        rows.append(row)
    lifted, _ = await store.write(ban_records.lift_ban, rows[1].ban_id, "adam", 30.0)
    assert lifted is not None
    await store.write(ban_records.end_ban, lifted, 50.0)

    async def listed(*, lifted: bool, after: int = 0, limit: int = 9) -> list[str]:
        found = await store.read(ban_records.bans, lifted=lifted, after=after, limit=limit)
        return [row.subject for row in found]

    first = await listed(lifted=True, limit=2)
    assert (first, await listed(lifted=True, after=rows[1].ban_id)) == (["p0", "p1"], ["p2", "p3"])
    assert await listed(lifted=False) == ["p0", "p2", "p3"]
    assert await store.write(ban_records.forget_bans, 50.0, limit=9) == 0
    assert await store.write(ban_records.forget_bans, 50.1, limit=9) == 1
    assert await listed(lifted=True) == ["p0", "p2", "p3"]


async def test_no_more_are_in_force_than_processes_keep(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ban_records, "BANS_MAX", 2)
    first, _ = await store.write(ban_records.put_ban, a_ban("a"))
    await store.write(ban_records.put_ban, a_ban("b"))
    with pytest.raises(Refused, match="2 persons are banned, the maximum") as refused:
        await store.write(ban_records.put_ban, a_ban("c"))
    await store.write(ban_records.lift_ban, first.ban_id, "adam", 30.0)

    assert refused.value.code is Code.ILLEGAL_STATE
    assert (await store.write(ban_records.put_ban, a_ban("b")))[1] is False
    assert (await store.write(ban_records.put_ban, a_ban("c")))[1] is True


async def test_a_person_is_known_by_jobs_or_tokens(store: Store) -> None:
    await store.write(identity_records.owner, Owner(community="ctao", issuer=ISSUER, subject="eve"))
    await store.write(identity_records.add_token, a_token("t1", "bob"))

    async def known(issuer: str, subject: str) -> bool:
        return await store.read(ban_records.is_person_known, issuer, subject)

    await store.write(session_rows.add_session, a_session("s1", issuer=OTHER, subject="eve"))
    issuers = await store.read(ban_records.issuers_of_subject, "eve", limit=9)

    assert issuers == [ISSUER, OTHER]
    assert [await known(ISSUER, "eve"), await known("local", "bob")] == [True, True]
    assert [await known("local", "eve"), await known(ISSUER, "bob")] == [False, False]


async def test_of_a_person_the_roles_and_the_tokens_for_others_are_found_as_long_as_they_are_valid(
    store: Store,
) -> None:
    for row in (
        a_token("t1", "eve", role="admin"),
        a_token("t2", "eve", role="user", expires_at=400.0),
        a_token("t3", "eve", role="reader", revoked_at=5.0),
        a_token("t4", "bob", expires_at=900.0),
        a_token("t5", "carl", expires_at=400.0),
        a_token("t6", "dora", issued_by="adam"),
        a_token("t7", "finn", revoked_at=5.0),
        a_token("t8", "gina"),
    ):
        await store.write(identity_records.add_token, row)

    async def issued(now: float, limit: int = 9) -> list[IssuedRow]:
        given = ("local", "eve")
        return await store.read(
            ban_records.tokens_issued_by, *given, name="eve", now=now, limit=limit
        )

    roles = [
        sorted(await store.read(ban_records.roles_of_person, "local", "eve", now=now))
        for now in (300.0, 500.0)
    ]
    assert roles == [["admin", "user"], ["admin"]]
    assert [one.jti for one in await issued(300.0)] == ["t8", "t4", "t5"]
    assert [one.jti for one in await issued(500.0)] == ["t8", "t4"]
    assert await issued(500.0, limit=1) == [IssuedRow(jti="t8", subject="gina", expires_at=1_000.0)]
