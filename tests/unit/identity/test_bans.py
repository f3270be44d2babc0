"""Bans of persons: who may set them, whom a name means, and what becomes of tokens."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity import record as identity_records
from pilotage.central.identity.bans import record as ban_records
from pilotage.central.identity.bans.ban_list import Person
from pilotage.central.identity.bans.persons import persons_named
from pilotage.central.identity.bans.record import NewBan
from pilotage.central.identity.bans.service import BanService
from pilotage.central.identity.callers import User
from pilotage.central.identity.errors import BadToken, Banned, ExpiredToken
from pilotage.central.identity.record_types import Owner
from pilotage.central.identity.scope import Owners
from pilotage.central.identity.sessions import listing, rows as session_rows
from pilotage.proto.api.bans import BanMade, BanRequest, BanView
from pilotage.proto.api.tokens import TokenIssue
from pilotage.proto.claims import Role
from pilotage.proto.problems import Code
from tests.contract.store.rows import a_session

from .issuer import ISSUER, Issuer, make_issuer, person

IAM = "https://iam.test/"


# -- what a name means ---------------------------------------------------------------------------


#    name, issuer                            the persons, as (issuer, subject)
NAMES = [
    ("ada", "", [("local", "ada")]),
    ("ada", IAM, [(IAM, "ada")]),
    ("ada@uni.test", "", [("local", "ada@uni.test")]),
    ("ada@https://iam.test/", "", [("local", "ada@https://iam.test/"), (IAM, "ada")]),
    ("a@b@http://x", "", [("local", "a@b@http://x"), ("http://x", "a@b")]),
    (
        *("a@https://x@https://y", ""),
        [
            ("local", "a@https://x@https://y"),
            ("https://x@https://y", "a"),
            ("https://y", "a@https://x"),
        ],
    ),
    ("@https://x", "", [("local", "@https://x")]),  # nobody has an empty subject
    ("a@https://x", IAM, [(IAM, "a@https://x")]),
]


@pytest.mark.parametrize(("name", "issuer", "meant"), NAMES, ids=str)
def test_a_name_means_these_persons(name: str, issuer: str, meant: list[tuple[str, str]]) -> None:
    assert persons_named(name, "local", issuer) == meant


# -- tokens of a banned person -------------------------------------------------------------------


def a_ban(subject: str = "ada", *, issuer: str = ISSUER, reason: str = "") -> NewBan:
    return NewBan(issuer=issuer, subject=subject, who="oscar", reason=reason, at=1_000.0)


async def test_a_token_that_was_used_before_is_refused_at_once_and_says_why() -> None:
    one = await make_issuer()
    token = one.signed(one.claims())
    bob = one.signed(one.claims(sub="bob", jti="j2"))
    for good in (token, bob):
        one.tokens.caller(good)
    await one.tokens.bans.ban(a_ban(reason="a stolen token"))
    with pytest.raises(Banned) as refused:
        one.tokens.caller(token)

    assert refused.value.code is Code.BANNED
    assert refused.value.message == (
        "'ada' has been banned from this central since 1970-01-01T00:16:40.000Z (a stolen token): "
        "ask 'oscar', who set the ban, or another operator"
    )
    assert isinstance(one.tokens.caller(bob), User)


async def test_all_tokens_of_a_person_are_refused_in_all_communities_and_no_others() -> None:
    one = await make_issuer()
    await one.tokens.bans.ban(a_ban())
    await one.tokens.bans.ban(a_ban("eve", issuer=IAM))
    refused = (
        one.signed(one.claims(jti="j2")),
        one.signed(one.claims(jti="j3", community="lhcb", role="admin")),
    )
    for token in refused:
        with pytest.raises(Banned):
            one.tokens.caller(token)

    eve = one.tokens.caller(one.signed(one.claims(sub="eve", jti="j4")))
    assert isinstance(eve, User), "only the eve of another issuer is banned"
    ada = one.claims(kind="pilot", site="PIC", element="ce1", jti="j5")
    one.tokens.caller(one.signed(ada))  # a pilot that is named as the person


async def test_a_bad_token_of_a_banned_person_gets_the_words_of_bad_tokens() -> None:
    one = await make_issuer()
    now = int(one.clock.wall())
    await one.tokens.bans.ban(a_ban())
    head, payload, _ = one.signed(one.claims()).split(".")
    _, _, other = one.signed(one.claims(sub="bob")).split(".")
    with pytest.raises(BadToken):
        one.tokens.caller(f"{head}.{payload}.{other}")
    with pytest.raises(BadToken):
        one.tokens.caller(one.signed(one.claims(aud="other")))
    with pytest.raises(ExpiredToken):
        one.tokens.caller(one.signed(one.claims(exp=now - 1)))


async def test_a_revoked_token_says_the_ban_of_its_person() -> None:
    one = await make_issuer()
    mine = await one.tokens.issue(one.admin, TokenIssue(subject="ada", community="ctao"))
    await one.tokens.revoke(one.admin, mine.view.jti)
    with pytest.raises(BadToken):
        one.tokens.caller(mine.token)
    await one.tokens.bans.ban(a_ban())
    with pytest.raises(Banned):
        one.tokens.caller(mine.token)


async def test_after_the_ban_the_same_token_is_good_again() -> None:
    one = await make_issuer()
    token = one.signed(one.claims())
    row, *_ = await one.tokens.bans.ban(a_ban())
    with pytest.raises(Banned):
        one.tokens.caller(token)
    await one.tokens.bans.lift(row.ban_id, "oscar", 1_001.0)

    assert isinstance(one.tokens.caller(token), User)


async def test_another_process_reads_bans_and_their_end_with_the_revoked_tokens() -> None:
    one = await make_issuer()
    other = await make_issuer(clock=one.clock, disk=one.disk, store=one.store)
    token = one.signed(one.claims())
    other.tokens.caller(token)
    row, *_ = await one.tokens.bans.ban(a_ban())
    other.tokens.caller(token)  # not read yet
    await other.tokens.load_revoked()
    with pytest.raises(Banned):
        other.tokens.caller(token)
    await one.tokens.bans.lift(row.ban_id, "oscar", 1_001.0)
    await other.tokens.load_revoked()

    assert isinstance(other.tokens.caller(token), User)
    assert [ban.is_in_force for ban in other.tokens.bans.open()] == [False]
    (lifted,) = one.tokens.bans.open()
    await one.tokens.bans.end(lifted, 1_002.0)
    await other.tokens.load_revoked()
    assert one.tokens.bans.open() == other.tokens.bans.open() == ()


async def test_a_restart_keeps_the_bans() -> None:
    one = await make_issuer()
    await one.tokens.bans.ban(a_ban())
    again = await make_issuer(clock=one.clock, disk=one.disk, store=one.store.reopened())

    with pytest.raises(Banned):
        again.tokens.caller(one.signed(one.claims()))


async def test_a_read_that_began_before_a_ban_does_not_undo_it() -> None:
    one = await make_issuer()
    other = await make_issuer(clock=one.clock, disk=one.disk, store=one.store)
    await other.tokens.bans.ban(a_ban("bob"))
    bans, token, go_on = one.tokens.bans, one.signed(one.claims()), asyncio.Event()
    reads = list[int]()

    async def slowly(plain: Any) -> Any:
        rows = await plain()
        reads.append(len(rows))
        await go_on.wait()
        return rows

    one.store.ways[ban_records.open_bans] = slowly
    loop = asyncio.get_running_loop()
    load = loop.create_task(bans.load())
    await asyncio.sleep(0)
    ban = loop.create_task(bans.ban(a_ban()))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait([load, ban])

    assert reads == [1], "the read has only the ban of bob"
    with pytest.raises(Banned):
        one.tokens.caller(token)
    for _ in range(2):
        await bans.load()
    assert reads == [1, 2], "what has not changed is not read again"


# -- the service ---------------------------------------------------------------------------------


@dataclass
class Office:
    """The service of bans of one central."""

    issuer: Issuer
    owners: Owners
    bans: BanService
    said: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])

    async def knows(self, subject: str, *, issuer: str = ISSUER, community: str = "ctao") -> None:
        """Let a person have jobs."""
        await self.issuer.store.write(
            identity_records.owner, Owner(community=community, issuer=issuer, subject=subject)
        )

    async def ban(self, name: str, *, by: User | None = None, **fields: str) -> BanMade:
        return await self.bans.ban(by or oscar(), BanRequest(person=name, **fields))

    async def all(self, *, lifted: bool = False, person: str = "", limit: int = 9) -> list[str]:
        found, after = list[BanView](), 0
        while True:
            page = await self.bans.list(
                oscar(), person=person, issuer="", lifted=lifted, after=after, limit=limit
            )
            found += page.bans
            if page.after is None:
                return [one.person for one in found]
            after = page.after


def oscar(**changed: Any) -> User:
    return msgspec.structs.replace(person(Role.OPERATOR, subject="oscar"), **changed)


async def office(*communities: str) -> Office:
    issuer = await make_issuer()
    owners = Owners(issuer.store, ISSUER)
    said: list[tuple[str, dict[str, Any]]] = []
    bans = BanService(
        store=issuer.store,
        bans=issuer.tokens.bans,
        owners=owners,
        end_sessions=session_rows.end_all_of,
        session_ended=issuer.tokens.session_ended,
        clock=issuer.clock,
        log=lambda event, **fields: said.append((event, fields)),
        local_issuer=ISSUER,
        provider_issuers=lambda: {IAM},
        communities=communities or ("ctao",),
    )
    return Office(issuer, owners, bans, said)


async def test_the_tokens_of_ended_sessions_stay_refused_after_the_ban() -> None:
    one = await office()
    row = a_session("s1", subject="eve", issuer=IAM, ends_at=one.issuer.clock.wall() + 9_000)
    await one.issuer.store.write(session_rows.add_session, row)
    token, _ = one.issuer.tokens.session_token(row)
    before = one.issuer.tokens.caller(token)
    made = await one.ban(f"eve@{IAM}")
    await one.bans.lift(oscar(), str(made.ban.ban))

    assert isinstance(before, User)
    with pytest.raises(BadToken):
        one.issuer.tokens.caller(token)


class Killed(BaseException):
    """The process ends at once."""


async def test_a_crash_leaves_no_ban_whose_sessions_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    one = await office()
    ends_at = one.issuer.clock.wall() + 9_000
    row = a_session("s1", subject="eve", issuer=IAM, ends_at=ends_at)
    await one.issuer.store.write(session_rows.add_session, row)
    commits = one.issuer.store.committing

    def killed() -> None:
        commits()
        monkeypatch.setattr(one.issuer.store, "committing", die)

    def die() -> None:
        raise Killed

    monkeypatch.setattr(one.issuer.store, "committing", killed)
    with contextlib.suppress(Killed):  # at the second commit, if there is one
        await one.ban(f"eve@{IAM}")
    store = one.issuer.store.reopened()
    stored = await store.read(session_rows.session_of, "s1")
    ban = await store.read(ban_records.ban_of_person, IAM, "eve")

    assert ban is not None and stored is not None
    assert stored.ended_why == "eve was banned"


async def test_a_session_that_a_ban_has_ended_says_the_reason_on_all_processes() -> None:
    one = await office()
    issuer = one.issuer
    row = a_session("s1", subject="eve", issuer=IAM, ends_at=issuer.clock.wall() + 9_000)
    await issuer.store.write(session_rows.add_session, row)
    token, _ = issuer.tokens.session_token(row)
    other = await make_issuer(clock=issuer.clock, disk=issuer.disk, store=issuer.store, seed=2)
    for process in (issuer, other):
        process.tokens.caller(token)
    made = await one.ban(f"eve@{IAM}", reason="misuse")
    await other.tokens.load_revoked()
    for process in (issuer, other):
        for _ in range(2):
            with pytest.raises(Banned, match="misuse"):
                process.tokens.caller(token)
    await one.bans.lift(oscar(), str(made.ban.ban))
    await other.tokens.load_revoked()
    for process in (issuer, other):
        with pytest.raises(BadToken):
            process.tokens.caller(token)


async def test_a_ban_is_logged_and_says_who_when_and_why() -> None:
    one = await office()
    await one.knows("eve", issuer=IAM)
    made = await one.ban(f"eve@{IAM}", reason="misuse")
    again = await one.ban(f"eve@{IAM}", by=oscar(subject="adam"), reason="again")
    lifted = await one.bans.lift(oscar(), str(made.ban.ban))
    repeated = await one.bans.lift(oscar(subject="adam"), str(made.ban.ban))

    assert (made.ban.person, made.ban.issuer, made.ban.subject) == (f"eve@{IAM}", IAM, "eve")
    assert (made.ban.who, made.ban.reason, made.repeated) == ("oscar", "misuse", False)
    assert (again.ban, again.repeated) == (made.ban, True)
    assert (lifted.lifted_by, bool(lifted.lifted_at), lifted.released) == ("oscar", True, False)
    assert repeated == lifted
    name = {"ban": made.ban.ban, "person": f"eve@{IAM}", "who": "oscar"}
    assert one.said == [
        ("person_banned", {**name, "why": "misuse"}),
        ("person_unbanned", name),
    ]
    assert (await one.all(), await one.all(lifted=True)) == ([], [f"eve@{IAM}"])


async def test_one_ban_holds_in_all_communities() -> None:
    one = await office()
    for community in ("ctao", "lst"):
        await one.knows("eve", community=community)
    await one.ban("eve")

    await one.owners.learn_all()
    assert len(one.owners.of_person(ISSUER, "eve")) == 2
    assert one.issuer.tokens.bans.find(ISSUER, "eve") is not None


async def test_a_mistyped_name_bans_nobody_and_a_stranger_is_banned_by_subject_and_issuer() -> None:
    one = await office()
    await one.knows("maria")
    with pytest.raises(Refused) as mistyped:
        await one.ban("maira")
    made = await one.ban("mallory", issuer=IAM)

    assert (mistyped.value.code, mistyped.value.field) == (Code.NOT_FOUND, "person")
    assert "did you mean 'maria'?" in mistyped.value.message
    assert "give the subject and the issuer" in mistyped.value.message
    assert made.ban.person == f"mallory@{IAM}"
    assert await one.all() == [f"mallory@{IAM}"]


async def test_the_subject_of_a_login_alone_is_answered_with_the_whole_name() -> None:
    one = await office()
    row = a_session("s1", subject="eve", issuer=IAM, ends_at=one.issuer.clock.wall() + 9_000)
    await one.issuer.store.write(session_rows.add_session, row)
    with pytest.raises(Refused, match=f"logins here.*did you mean 'eve@{IAM}'") as refused:
        await one.ban("eve")

    assert refused.value.code is Code.NOT_FOUND
    assert (await one.ban(listing.view(row).person)).ban.person == f"eve@{IAM}"


@pytest.mark.parametrize(
    ("subject", "issuer", "why"),
    [
        ("eve", IAM.rstrip("/"), f"did you mean '{IAM}'"),
        ("eve", "https://other.test/", "is not an issuer of this central"),
        ("eve ", IAM, "begins or ends with a blank"),
    ],
)
async def test_a_ban_that_could_meet_nobody_is_refused(subject: str, issuer: str, why: str) -> None:
    one = await office()
    with pytest.raises(Refused, match=why) as refused:
        await one.ban(subject, issuer=issuer)
    await one.knows(subject, issuer=issuer)  # by a provider that was removed
    await one.ban(subject, issuer=issuer)

    assert refused.value.code is Code.INVALID


async def test_a_name_with_two_meanings_needs_the_issuer() -> None:
    one = await office()
    await one.knows(f"eve@{IAM}")
    await one.knows("eve", issuer=IAM)
    with pytest.raises(Refused) as refused:
        await one.ban(f"eve@{IAM}")
    await one.ban("eve", issuer=IAM)

    assert (refused.value.code, refused.value.field) == (Code.INVALID, "issuer")
    assert repr(ISSUER) in refused.value.message
    assert repr(IAM) in refused.value.message
    assert one.issuer.tokens.bans.find(IAM, "eve") is not None
    assert one.issuer.tokens.bans.find(ISSUER, f"eve@{IAM}") is None


async def test_nobody_bans_oneself_and_nobody_the_local_administrator() -> None:
    one = await office()
    await one.knows("oscar")
    adam = person(Role.ADMIN, subject="adam")
    with pytest.raises(Refused, match="you cannot ban yourself") as oneself:
        await one.ban("oscar")
    with pytest.raises(Refused, match="revoke it and restart") as local:
        await one.ban("admin", by=adam)
    await one.ban("oscar", issuer=IAM)  # somebody else

    assert (oneself.value.code, local.value.code) == (Code.FORBIDDEN, Code.FORBIDDEN)
    assert await one.all() == [f"oscar@{IAM}"]


async def test_only_an_admin_bans_an_admin() -> None:
    one = await office()
    wanted = TokenIssue(subject="anna", role=Role.ADMIN, valid_s=3_600)
    await one.issuer.tokens.issue(one.issuer.admin, wanted)
    with pytest.raises(Refused, match=r"\(operator\) may not ban 'anna'.*ask an admin"):
        await one.ban("anna")
    await one.ban("anna", by=person(Role.ADMIN, subject="adam"))
    await one.issuer.tokens.issue(
        one.issuer.admin, TokenIssue(subject="otto", role=Role.ADMIN, valid_s=60)
    )
    one.issuer.clock.move(61)
    await one.ban("otto")  # is no admin any more

    assert await one.all() == ["anna", "otto"]


@pytest.mark.parametrize("role", [Role.READER, Role.USER, Role.MANAGER])
async def test_others_may_neither_ban_nor_lift_nor_list(role: Role) -> None:
    one = await office("ctao", "lst")
    caller = person(role, community="ctao")
    with pytest.raises(Refused) as refused:
        await one.ban("eve", by=caller, issuer=IAM)

    assert refused.value.code is Code.FORBIDDEN


async def test_with_several_communities_a_token_of_one_is_not_enough() -> None:
    one = await office("ctao", "lst")
    mine, all_of_them = oscar(), oscar(community="")
    asked = BanRequest(person="eve", issuer=IAM)
    for refused in (
        one.bans.ban(mine, asked),
        one.bans.lift(mine, "1"),
        one.bans.list(mine, person="", issuer="", lifted=False, after=0, limit=9),
    ):
        with pytest.raises(Refused, match="ban_control affects all communities"):
            await refused
    made = await one.bans.ban(all_of_them, asked)

    assert made.ban.person == f"eve@{IAM}"


@pytest.mark.parametrize("ban", ["0", "7", "-1", "x", "", "1" * 30, "²"])
async def test_what_is_no_ban_is_not_lifted(ban: str) -> None:
    one = await office()
    with pytest.raises(Refused) as refused:
        await one.bans.lift(oscar(), ban)

    assert (refused.value.code, refused.value.field) == (Code.NOT_FOUND, "ban")


async def test_the_answer_names_the_tokens_that_the_person_has_issued_to_others() -> None:
    one = await office()
    tokens, admin = one.issuer.tokens, one.issuer.admin
    mary = person(Role.MANAGER, subject="mary", groups=("g",))
    await tokens.issue(admin, TokenIssue(subject="mary", community="ctao"))
    ben = await tokens.issue(mary, TokenIssue(subject="ben", groups=("g",)))
    await tokens.issue(mary, TokenIssue(subject="mary", groups=("g",)))
    made = await one.ban("mary")

    assert [(it.jti, it.subject) for it in made.issued] == [(ben.view.jti, "ben")]
    assert made.issued[0].expires_at == ben.view.expires_at
    assert isinstance(tokens.caller(ben.token), User), "it stays valid"


async def test_a_ban_does_not_name_tokens_of_a_namesake_at_another_issuer() -> None:
    one = await office()
    await one.knows("alice", issuer=IAM)
    namesake = person(Role.ADMIN, subject="alice")
    await one.issuer.tokens.issue(namesake, TokenIssue(subject="ben", role=Role.USER))
    made = await one.ban(f"alice@{IAM}")

    assert made.issued == []


async def test_bans_are_listed_page_by_page_and_found_by_name() -> None:
    one = await office()
    for number in range(5):
        await one.ban(f"p{number}", issuer=IAM)

    assert await one.all(limit=2) == [f"p{number}@{IAM}" for number in range(5)]
    assert await one.all(person=f"p3@{IAM}") == [f"p3@{IAM}"]
    assert await one.all(person="p3") == []


def test_a_person_is_compared_letter_by_letter() -> None:
    assert Person(IAM, "eve") != Person(IAM.rstrip("/"), "eve")
