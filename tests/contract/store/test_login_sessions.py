"""Sessions of logins, and the persons who hold them."""

from pilotage.central.identity.sessions import rows as session_rows
from pilotage.central.store.engine import Store

from .conftest import Reopen
from .rows import IAM, a_session, email_of


async def test_a_session_survives_a_restart_as_it_was_stored(store: Store, reopen: Reopen) -> None:
    row = a_session("s1", email="alice@example.org", cookie="hash", refresh="sealed")
    await store.write(session_rows.add_session, row)
    store = await reopen(store)

    assert await store.read(session_rows.session_of, "s1") == row
    assert await store.read(session_rows.session_of_cookie, "hash") == row
    assert await store.read(session_rows.session_of_cookie, "") is None
    assert await store.read(email_of, IAM, "alice") == "alice@example.org"
    assert await store.read(email_of, IAM, "bob") == ""


async def test_a_renewal_secret_counts_once(store: Store) -> None:
    await store.write(session_rows.add_session, a_session("s1"))
    assert await store.write(session_rows.renew, "s1", 2, "nonce", 20.5)
    assert not await store.write(session_rows.renew, "s1", 2, "other", 21.0)
    row = await store.read(session_rows.session_of, "s1")
    assert row is not None
    assert (row.renewals, row.nonce, row.renewed_at) == (2, "nonce", 20.5)


async def test_an_ended_session_is_neither_renewed_nor_confirmed(store: Store) -> None:
    row = a_session("s1", refresh="sealed")
    await store.write(session_rows.add_session, row)
    assert await store.write(session_rows.end, "s1", 30.5, "logged out")
    assert not await store.write(session_rows.end, "s1", 31.0, "again")
    assert not await store.write(session_rows.renew, "s1", 2, "nonce", 32.0)
    assert not await store.write(session_rows.keep_check, row)
    ended = await store.read(session_rows.session_of, "s1")
    assert ended is not None
    assert (ended.ended_at, ended.ended_why, ended.refresh) == (30.5, "logged out", "")
    assert await store.read(session_rows.ended, 30.0) == [("s1", 30.5)]
    assert await store.read(session_rows.ended, 30.5) == []
    assert await store.read(session_rows.ended_mark, 30.0) == (1, 30.5)


async def test_a_person_has_one_address_that_changes_with_the_provider(store: Store) -> None:
    row = a_session("s1", email="old@example.org")
    await store.write(session_rows.add_session, row)
    changed = a_session("s1", email="new@example.org", groups=("lst",), checked_at=40.0)
    assert await store.write(session_rows.keep_check, changed)
    found = await store.read(session_rows.session_of, "s1")
    assert found is not None and found.groups == ("lst",)
    assert await store.read(email_of, IAM, "alice") == "new@example.org"


async def test_sessions_are_listed_newest_first_page_by_page(store: Store) -> None:
    for number in range(5):
        subject = "alice" if number % 2 else "bob"
        row = a_session(f"s{number}", subject=subject, created_at=float(number))
        await store.write(session_rows.add_session, row)
    page = await store.read(session_rows.sessions, None, limit=2)
    last = page[-1]
    rest = await store.read(
        session_rows.sessions, None, before=(last.created_at, last.session), limit=10
    )
    alice = (IAM, "alice")
    hers = await store.read(session_rows.sessions, "lst", alice, others=False, limit=10)
    with_others = await store.read(session_rows.sessions, "lst", alice, limit=10)
    others = await store.read(session_rows.sessions, "lst", limit=10)
    all_of_them = await store.read(session_rows.sessions, "ctao", alice, limit=10)

    assert [one.session for one in (*page, *rest)] == ["s4", "s3", "s2", "s1", "s0"]
    assert [one.session for one in hers] == ["s3", "s1"], "in any community"
    assert with_others == hers
    assert others == []
    assert len(all_of_them) == 5


async def test_a_ban_ends_all_sessions_of_a_person_and_no_others(store: Store) -> None:
    for name, subject in (("s1", "alice"), ("s2", "alice"), ("s3", "bob")):
        row = a_session(name, subject=subject, refresh="sealed")
        await store.write(session_rows.add_session, row)
    await store.write(session_rows.end, "s1", 30.0, "logged out")
    assert await store.write(session_rows.end_all_of, IAM, "alice", 40.0, "banned") == ["s2"]
    ends = [await store.read(session_rows.session_of, name) for name in ("s1", "s2", "s3")]
    assert [one.ended_why if one else None for one in ends] == ["logged out", "banned", ""]


async def test_old_sessions_go_in_parts(store: Store) -> None:
    for number in range(3):
        row = a_session(f"s{number}", ends_at=float(number), refresh="")
        await store.write(session_rows.add_session, row)
    await store.write(session_rows.add_session, a_session("t", ends_at=0.0))
    assert await store.write(session_rows.prune, 2.0, limit=1) == 1
    assert await store.write(session_rows.prune, 2.0, limit=10) == 1
    assert await store.read(session_rows.session_of, "s2") is not None
    assert await store.read(session_rows.session_of, "t"), "its refresh token is not given back"
