"""What is a good token, what is none, and what the first start leaves behind."""

import base64
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from pilotage.central.errors import Refused
from pilotage.central.identity import keys, record as token_records, tokens
from pilotage.central.identity.callers import PilotCaller, User
from pilotage.central.identity.errors import BadKeyFile, BadToken, ExpiredToken, TokenNotFound
from pilotage.central.identity.tokens import ADMIN_FILE
from pilotage.proto.api.tokens import TokenIssue
from pilotage.proto.claims import Role
from pilotage.proto.problems import Code

from .issuer import AUDIENCE, ISSUER, Issuer, make_issuer, person
from .token_store import DATA, rows

GOOD, BAD, EXPIRED = "good", "bad", "expired"

#    what is unlike a good token's claims     verdict
CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({}, GOOD),
    ({"exp": -1}, EXPIRED),
    ({"exp": 0}, EXPIRED),  # the moment itself is too late
    ({"exp": 1}, GOOD),
    ({"iat": 59}, GOOD),  # a clock that is a little fast
    ({"iat": 61}, BAD),
    ({"iss": "https://other.test"}, BAD),
    ({"iss": ISSUER + "/"}, BAD),
    ({"aud": "other"}, BAD),
    ({"aud": ["other", AUDIENCE]}, GOOD),
    ({"aud": ["other", "another"]}, BAD),
    ({"aud": []}, BAD),
    ({"aud": "https://wlcg.cern.ch/jwt/v1/any"}, BAD),
    ({"aud": ["https://wlcg.cern.ch/jwt/v1/any", AUDIENCE]}, GOOD),
    ({"wlcg__ver": "1.7"}, GOOD),  # a newer minor version
    ({"wlcg__ver": "2.0"}, BAD),
    ({"wlcg__ver": "10.0"}, BAD),
    ({"wlcg__ver": None}, BAD),
    ({"jti": None}, BAD),
    ({"sub": None}, BAD),
    ({"exp": None}, BAD),
    ({"sub": 5}, BAD),
    ({"exp": "tomorrow"}, BAD),
    ({"role": "emperor"}, BAD),
    ({"kind": "attempt"}, BAD),
    ({"unheard_of": [1, 2]}, GOOD),  # unknown claims are ignored
]


def verdict(issuer: Issuer, token: str) -> str:
    try:
        issuer.tokens.caller(token)
    except ExpiredToken:
        return EXPIRED
    except BadToken:
        return BAD
    return GOOD


@pytest.mark.parametrize(("changed", "right"), CLAIMS, ids=str)
async def test_claims_decide(changed: dict[str, Any], right: str) -> None:
    issuer = await make_issuer()
    now = int(issuer.clock.wall())
    moved = {
        name: now + value if name in ("exp", "iat") and isinstance(value, int) else value
        for name, value in changed.items()
    }

    assert verdict(issuer, issuer.signed(issuer.claims(**moved))) == right


def _unsigned(issuer: Issuer) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'kid': issuer.key()['kid']})}.{part(issuer.claims())}."


def _other_claims(issuer: Issuer) -> str:
    head, _, signature = issuer.signed(issuer.claims()).split(".")
    claims = msgspec.json.encode(issuer.claims(role="admin"))
    return f"{head}.{base64.urlsafe_b64encode(claims).rstrip(b'=').decode()}.{signature}"


def _other_signature(issuer: Issuer) -> str:
    token = issuer.signed(issuer.claims())
    return token[:-8] + ("A" * 8 if token[-8:] != "A" * 8 else "B" * 8)


FORGERIES: dict[str, Callable[[Issuer], str]] = {
    "no algorithm": _unsigned,
    "HS256 with the public key": lambda i: i.signed_with_public_key_as_secret(i.claims()),
    "an unknown key id": lambda i: i.signed(i.claims(), kid="unknown"),
    "no key id": lambda i: i.signed(i.claims(), kid=None),
    "other claims under the signature": _other_claims,
    "another signature": _other_signature,
    "no signature": lambda i: i.signed(i.claims()).rpartition(".")[0] + ".",
    "an attempt's form": lambda i: "pa1." + i.signed(i.claims()),
    "nothing": lambda _: "",
    "a word": lambda _: "admin",
    "dots": lambda _: "..",
    "a megabyte": lambda _: "a" * 1_000_000,
    "not ASCII": lambda _: "é.ü.ß",
}


@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_forged_token_is_bad(forged: Callable[[Issuer], str]) -> None:
    issuer = await make_issuer()

    assert verdict(issuer, forged(issuer)) == BAD


async def test_no_bytes_break_the_reader() -> None:
    issuer = await make_issuer()
    good = issuer.signed(issuer.claims())
    piece = st.one_of(st.text(max_size=40), st.sampled_from([*good.split("."), "pa1", "e30"]))

    @settings(max_examples=200, deadline=None)
    @given(st.lists(piece, max_size=5).map(".".join))
    def read(token: str) -> None:
        assert verdict(issuer, token) == (GOOD if token == good else BAD)

    read()


async def test_the_first_start_writes_keys_and_an_admin_token() -> None:
    issuer = await make_issuer()

    assert {path.name for path in issuer.disk.files} == {
        keys.FILE,
        "attempt-key",
        ADMIN_FILE,
    }
    assert issuer.admin.role is Role.ADMIN
    assert issuer.admin.community == ""
    assert [row.subject for row in rows(issuer.store).values()] == ["admin"]


async def test_a_restart_keeps_keys_and_admin_token() -> None:
    issuer = await make_issuer()
    files = dict(issuer.disk.files)
    user = issuer.signed(issuer.claims())

    again = await make_issuer(clock=issuer.clock, disk=issuer.disk, store=issuer.store, seed=2)

    assert again.disk.files == files
    assert verdict(again, user) == GOOD


async def test_an_expired_admin_token_is_replaced_at_the_next_start() -> None:
    issuer = await make_issuer()
    old = issuer.admin_token
    issuer.clock.move(400 * 86_400)

    again = await make_issuer(clock=issuer.clock, disk=issuer.disk, store=issuer.store, seed=2)

    assert verdict(again, old) == EXPIRED
    assert again.admin.role is Role.ADMIN


@pytest.mark.parametrize("content", [b"", b"{}", b'{"keys": []}', b'{"keys": [{"kty": "EC"}]}'])
async def test_a_broken_key_file_stops_the_start(content: bytes) -> None:
    issuer = await make_issuer()
    issuer.disk.files[DATA / keys.FILE] = content

    with pytest.raises(BadKeyFile):
        await make_issuer(disk=issuer.disk)


async def test_the_key_set_shows_nothing_private() -> None:
    issuer = await make_issuer()

    (shown,) = issuer.tokens.jwks()["keys"]

    assert set(shown) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


async def test_a_revoked_token_is_refused_at_once_and_after_a_restart() -> None:
    issuer = await make_issuer()
    made = await issuer.tokens.issue(issuer.admin, TokenIssue(subject="ada", community="ctao"))
    before = verdict(issuer, made.token)

    await issuer.tokens.revoke(issuer.admin, made.view.jti)
    await issuer.tokens.revoke(issuer.admin, made.view.jti)  # idempotent
    again = await make_issuer(clock=issuer.clock, disk=issuer.disk, store=issuer.store)

    assert (before, verdict(issuer, made.token), verdict(again, made.token)) == (GOOD, BAD, BAD)


async def test_no_id_of_a_token_looks_like_an_option_of_a_command() -> None:
    issuer = await make_issuer()
    wanted = TokenIssue(subject="ada", community="ctao")
    ids = [(await issuer.tokens.issue(issuer.admin, wanted)).view.jti for _ in range(300)]

    assert not [one for one in ids if one.startswith("-")]


async def test_many_revoked_tokens_hold_nobody_up_and_are_read_once() -> None:
    issuer = await make_issuer()
    made = await issuer.tokens.issue(issuer.admin, TokenIssue(subject="ada", community="ctao"))
    row = rows(issuer.store)[made.view.jti]
    with issuer.store.connection:
        for at in range(30_000):
            gone = msgspec.structs.replace(row, jti=f"gone-{at}")
            token_records.add_token(issuer.store.session, gone)
            token_records.revoke_token(issuer.store.session, gone.jti, float(at))
    began = time.process_time()
    await issuer.tokens.load_revoked()
    first_s = time.process_time() - began
    await issuer.store.write(token_records.revoke_token, made.view.jti, 1.0)
    await issuer.tokens.load_revoked()

    assert first_s < 2.0  # to sweep them at each would take a minute
    assert verdict(issuer, made.token) is BAD


async def test_a_cached_token_ends_on_time() -> None:
    issuer = await make_issuer()
    token = issuer.signed(issuer.claims())
    before = verdict(issuer, token)

    issuer.clock.move(600)

    assert (before, verdict(issuer, token)) == (GOOD, EXPIRED)


async def test_tokens_of_pilots_that_have_ended_and_expired_ones_are_kept_no_longer() -> None:
    issuer = await make_issuer()
    before = len(issuer.tokens._verifier._cache)
    for at in range(5_000):
        issuer.tokens.pilot_token(f"p{at}", "ctao", "PIC", "batch")
        issuer.tokens.forget(f"p{at}")
    ended = len(issuer.tokens._verifier._cache)
    first, _ = issuer.tokens.pilot_token("q", "ctao", "PIC", "batch")
    for at in range(20_000):
        issuer.clock.move(3_600 / 1_000)  # a thousand in the life of a token
        issuer.tokens.pilot_token(f"q{at}", "ctao", "PIC", "batch")

    assert ended == before
    assert len(issuer.tokens._verifier._cache) < 2_100
    assert verdict(issuer, first) == EXPIRED


async def test_a_pilot_that_was_forgotten_is_still_who_it_was() -> None:
    issuer = await make_issuer()
    token, _ = issuer.tokens.pilot_token("p1", "ctao", "PIC", "batch")
    issuer.tokens.forget("p1")
    issuer.tokens.forget("p2")

    assert verdict(issuer, token) == GOOD


async def test_a_pilot_is_what_its_token_says() -> None:
    issuer = await make_issuer()

    token, expires_in_s = issuer.tokens.pilot_token("p1", "ctao", "PIC", "batch")

    assert issuer.tokens.caller(token) == PilotCaller(
        pilot="p1", community="ctao", site="PIC", element="batch"
    )
    assert expires_in_s == 3_600


async def test_an_issued_token_says_who_it_is() -> None:
    issuer = await make_issuer()
    wanted = TokenIssue(subject="ada", community="ctao", groups=("dl1", "mc"), name="Ada L.")

    made = await issuer.tokens.issue(issuer.admin, wanted)
    caller = issuer.tokens.caller(made.token)

    assert isinstance(caller, User)
    assert (caller.issuer, caller.subject, caller.community) == (ISSUER, "ada", "ctao")
    assert (caller.groups, caller.role, caller.name) == (("dl1", "mc"), Role.USER, "Ada L.")
    who = issuer.tokens.whoami(caller)
    assert (who.expires_in_s, who.role) == (86_400, Role.USER)


async def test_lists_show_what_the_caller_may_see() -> None:
    issuer = await make_issuer()
    for subject, community, groups in [
        ("ada", "ctao", ("dl1",)),
        ("bob", "ctao", ("mc",)),
        ("eve", "lhcb", ("dl1",)),
    ]:
        wanted = TokenIssue(subject=subject, community=community, groups=groups)
        await issuer.tokens.issue(issuer.admin, wanted)

    async def seen(caller: User) -> set[str]:
        return {view.subject for view in (await issuer.tokens.list(caller)).tokens}

    assert await seen(issuer.admin) == {"admin", "ada", "bob", "eve"}
    assert await seen(person(Role.ADMIN, subject="chief")) == {"ada", "bob"}
    assert await seen(person(Role.MANAGER, subject="chief")) == {"ada", "bob"}
    assert await seen(person(Role.MANAGER, subject="chief", groups=("dl1",))) == {"ada"}
    assert await seen(person(Role.USER, groups=("dl1",))) == {"ada"}
    assert await seen(person(Role.USER, groups=("mc",))) == set()
    assert await seen(person(Role.USER, subject="eve", groups=("dl1",))) == set()


async def test_a_list_comes_in_pages_that_show_each_token_once() -> None:
    issuer = await make_issuer()
    for number in range(5):
        for community in ("ctao", "lhcb"):
            wanted = TokenIssue(subject=f"ada{number}", community=community, groups=("mc",))
            await issuer.tokens.issue(issuer.admin, wanted)
        if number % 2:
            issuer.clock.move(1.5)

    async def pages(caller: User, limit: int) -> list[list[str]]:
        found, after = list[list[str]](), ""
        while True:
            page = await issuer.tokens.list(caller, after=after, limit=limit)
            found.append([one.subject for one in page.tokens])
            if page.after is None:
                return found
            after = page.after

    chief = person(Role.MANAGER, subject="chief")
    (whole,) = await pages(chief, 100)
    by_two = await pages(chief, 2)

    assert sorted(whole) == [f"ada{number}" for number in range(5)]
    assert (whole[0], set(whole[-2:])) == ("ada4", {"ada0", "ada1"})
    assert [len(page) for page in by_two] == [2, 2, 1]
    assert [subject for page in by_two for subject in page] == whole
    assert await pages(person(Role.USER, subject="eve", groups=("mc",)), 2) == [[]]


@pytest.mark.parametrize("after", ["x", "yesterday:jti", ":"])
async def test_what_is_no_cursor_is_refused_by_name(after: str) -> None:
    issuer = await make_issuer()

    with pytest.raises(Refused, match="expected the value `after` of the previous page") as refused:
        await issuer.tokens.list(issuer.admin, after=after)

    assert (refused.value.code, refused.value.field) == (Code.INVALID, "after")


async def test_nobody_has_tokens_without_bound_and_time_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tokens, "UNEXPIRED_MAX", 3)
    issuer = await make_issuer()
    ada = person(expires_at=issuer.clock.wall() + 1_000)
    wanted = TokenIssue(subject="ada", valid_s=100)
    made = [await issuer.tokens.issue(ada, wanted) for _ in range(3)]
    await issuer.tokens.revoke(ada, made[0].view.jti)

    with pytest.raises(Refused, match="'ada' has 3 unexpired tokens, the maximum") as refused:
        await issuer.tokens.issue(ada, wanted)
    others = person(subject="bob")
    await issuer.tokens.issue(others, TokenIssue(subject="bob"))
    issuer.clock.move(100)
    await issuer.tokens.issue(ada, wanted)

    assert (refused.value.code, refused.value.field) == (Code.ILLEGAL_STATE, "$.subject")


async def test_nobody_revokes_what_they_do_not_see() -> None:
    issuer = await make_issuer()
    admin = next(iter(rows(issuer.store)))

    for caller in (person(Role.USER), person(Role.MANAGER), person(Role.ADMIN)):
        with pytest.raises(TokenNotFound):
            await issuer.tokens.revoke(caller, admin)


#    role that somebody has   its groups
WIDER: list[tuple[Role, tuple[str, ...]]] = [
    (Role.ADMIN, ("mc",)),
    (Role.OPERATOR, ("mc",)),
    (Role.READER, ("mc",)),
    (Role.MANAGER, ()),
    (Role.USER, ("mc", "dl1")),
]


@pytest.mark.parametrize(("role", "groups"), WIDER)
async def test_a_token_in_the_name_of_somebody_reaches_none_of_their_wider_tokens(
    role: Role, groups: tuple[str, ...]
) -> None:
    issuer = await make_issuer()
    wanted = TokenIssue(subject="boss", community="ctao", role=role, groups=groups)
    theirs = await issuer.tokens.issue(issuer.admin, wanted)
    manager = person(Role.MANAGER, subject="chief", groups=("mc",))
    made = await issuer.tokens.issue(manager, TokenIssue(subject="boss"))
    pretender = issuer.tokens.caller(made.token)
    assert isinstance(pretender, User)

    assert [one.jti for one in (await issuer.tokens.list(pretender)).tokens] == [made.view.jti]
    with pytest.raises(TokenNotFound):
        await issuer.tokens.revoke(pretender, theirs.view.jti)
    assert verdict(issuer, theirs.token) == GOOD


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
async def test_who_may_see_tokens_sees_and_revokes_the_one_at_hand(role: Role) -> None:
    issuer = await make_issuer()
    wanted = TokenIssue(subject="ada", community="ctao", role=role, groups=("mc",))
    made = await issuer.tokens.issue(issuer.admin, wanted)
    caller = issuer.tokens.caller(made.token)
    assert isinstance(caller, User)

    assert [one.jti for one in (await issuer.tokens.list(caller)).tokens] == [made.view.jti]
    await issuer.tokens.revoke(caller, made.view.jti)
    assert verdict(issuer, made.token) == BAD


#     giver                                        wanted                                 field
REFUSED: list[tuple[User, dict[str, Any], str, Code]] = [
    (person(), {"subject": "bob"}, "$.subject", Code.FORBIDDEN),
    (person(), {"subject": "ada", "role": Role.MANAGER}, "$.role", Code.FORBIDDEN),
    (person(), {"subject": "ada", "role": Role.READER}, "$.role", Code.FORBIDDEN),  # sees more
    (person(), {"subject": "ada", "community": "lhcb"}, "$.community", Code.FORBIDDEN),
    (person(), {"subject": "ada", "groups": ("dl1",)}, "$.groups", Code.FORBIDDEN),
    (person(Role.READER), {"subject": "ada", "role": Role.READER}, "", Code.FORBIDDEN),
    (person(Role.MANAGER), {"subject": "b", "role": Role.OPERATOR}, "$.role", Code.FORBIDDEN),
    (
        person(Role.MANAGER, groups=("mc",)),
        {"subject": "b", "groups": ("dl1",)},
        "$.groups",
        Code.FORBIDDEN,
    ),
    (person(Role.OPERATOR), {"subject": "bob"}, "$.subject", Code.FORBIDDEN),
    (person(Role.ADMIN, community=""), {"subject": "b"}, "$.community", Code.INVALID),
    (person(Role.ADMIN), {"subject": "b", "community": "a/b"}, "$.community", Code.INVALID),
    (person(Role.ADMIN), {"subject": "b", "groups": ("x", "y z")}, "$.groups[1]", Code.INVALID),
    (person(Role.ADMIN), {"subject": "b\n"}, "$.subject", Code.INVALID),
    (person(Role.ADMIN), {"subject": "b@https://iam.test/"}, "$.subject", Code.INVALID),
    (person(Role.MANAGER), {"subject": "b@HTTP:iam"}, "$.subject", Code.INVALID),
    (person(Role.MANAGER), {"subject": "spiffe://b"}, "$.subject", Code.INVALID),
    (person(Role.MANAGER), {"subject": "b\uff20http\uff1a//iam"}, "$.subject", Code.INVALID),
]


@pytest.mark.parametrize(("giver", "wanted", "field", "code"), REFUSED)
async def test_nobody_hands_out_more_than_they_have(
    giver: User, wanted: dict[str, Any], field: str, code: Code
) -> None:
    issuer = await make_issuer()

    with pytest.raises(Refused) as refused:
        await issuer.tokens.issue(giver, TokenIssue(**wanted))

    assert (refused.value.field, refused.value.code) == (field, code)
    assert len(rows(issuer.store)) == 1  # nothing but the first admin's


async def test_a_subject_may_be_a_mail_address() -> None:
    issuer = await make_issuer()
    wanted = TokenIssue(subject="ada@example.org", community="ctao")

    assert (await issuer.tokens.issue(issuer.admin, wanted)).view.subject == "ada@example.org"


async def test_a_token_never_outlives_the_one_it_was_made_with() -> None:
    issuer = await make_issuer()
    soon = issuer.clock.wall() + 100

    made = await issuer.tokens.issue(
        person(expires_at=soon), TokenIssue(subject="ada", valid_s=1_000)
    )
    issuer.clock.move(100)

    assert verdict(issuer, made.token) == EXPIRED


async def test_a_person_of_a_provider_hears_what_a_script_uses() -> None:
    issuer = await make_issuer()
    alice = msgspec.structs.replace(
        person(subject="alice"), issuer="https://iam.test/", session="s"
    )
    with pytest.raises(Refused, match="scripts on this machine use your login"):
        await issuer.tokens.issue(alice, TokenIssue(subject="alice"))
    with pytest.raises(Refused, match="for 'ada' only, not for 'bob'"):
        await issuer.tokens.issue(person(), TokenIssue(subject="bob"))


async def test_a_missing_community_is_named_with_its_option() -> None:
    issuer = await make_issuer()
    with pytest.raises(Refused, match="needs a community: name it with --community"):
        await issuer.tokens.issue(person(Role.ADMIN, community=""), TokenIssue(subject="bob"))


async def test_a_manager_of_groups_hands_out_these_groups_and_never_none() -> None:
    issuer = await make_issuer()
    wanted = TokenIssue(subject="bob", role=Role.MANAGER)

    made = await issuer.tokens.issue(person(Role.MANAGER, groups=("mc",)), wanted)
    caller = issuer.tokens.caller(made.token)

    assert isinstance(caller, User)
    assert caller.groups == ("mc",)


#     wanted                                        groups of the token
INHERITED: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({}, ("dl1", "mc")),
    ({"role": Role.OPERATOR}, ("dl1", "mc")),
    ({"groups": ("mc",)}, ("mc",)),
    ({"role": Role.MANAGER}, ()),  # the whole community
]


@pytest.mark.parametrize(("wanted", "groups"), INHERITED)
async def test_a_token_without_groups_has_those_of_who_made_it(
    wanted: dict[str, Any], groups: tuple[str, ...]
) -> None:
    issuer = await make_issuer()
    admin = person(Role.ADMIN, groups=("dl1", "mc"))

    made = await issuer.tokens.issue(admin, TokenIssue(subject="bob", **wanted))
    caller = issuer.tokens.caller(made.token)

    assert isinstance(caller, User)
    assert caller.groups == groups
    assert tuple(made.view.groups) == groups


async def test_a_token_for_another_community_has_no_groups_of_this_one() -> None:
    issuer = await make_issuer()
    wanted = TokenIssue(subject="eve", community="lhcb")

    made = await issuer.tokens.issue(person(Role.ADMIN, community="", groups=("dl1",)), wanted)

    assert made.view.groups == []


async def test_a_full_store_gives_no_token() -> None:
    issuer = await make_issuer()
    issuer.store.full = True

    with pytest.raises(Refused) as refused:
        await issuer.tokens.issue(issuer.admin, TokenIssue(subject="b", community="ctao"))

    assert refused.value.code is Code.STORE_FULL
