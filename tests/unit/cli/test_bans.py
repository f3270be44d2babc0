"""`pilotage ban`, `unban` and `bans`: what they ask, and what they print."""

import json
from collections.abc import AsyncIterator

import pytest

from pilotage.central.cli.main import run
from pilotage.central.client.errors import NotFound
from pilotage.proto.api.bans import BanMade, BanView, IssuedToken

from .stub_client import give

EVE = BanView(
    ban=3,
    person="eve@https://iam.test/",
    issuer="https://iam.test/",
    subject="eve",
    since="2026-12-01T10:00:00.000Z",
    who="oscar",
    reason="stolen token",
)
BOB = BanView(
    ban=4,
    person="bob",
    issuer="local",
    subject="bob",
    since="2026-12-02T10:00:00.000Z",
    who="adam",
    lifted_at="2026-12-03T10:00:00.000Z",
    lifted_by="oscar",
)


class Stub:
    """A client that remembers what it was asked."""

    def __init__(self, *, repeated: bool = False, issued: int = 0) -> None:
        self.asked: list[object] = []
        tokens = [IssuedToken(jti=f"t{n}", subject="s", expires_at="") for n in range(issued)]
        self.made = BanMade(ban=EVE, repeated=repeated, issued=tokens)

    async def ban(self, person: str, *, issuer: str = "", reason: str = "") -> BanMade:
        self.asked.append((person, issuer, reason))
        return self.made

    async def unban(self, person: str, *, issuer: str = "") -> BanView:
        self.asked.append((person, issuer))
        if person == "nobody":
            raise NotFound("not_found", "'nobody' is not banned")
        return EVE

    async def bans(self, *, lifted: bool = False) -> AsyncIterator[BanView]:
        self.asked.append(lifted)
        for one in (EVE, BOB) if lifted else (EVE,):
            yield one


def test_a_ban_is_asked_for_and_confirmed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(stub := Stub(), monkeypatch)
    codes = [
        run(["ban", EVE.person, "--reason", "stolen token"]),
        run(["ban", "eve", "--issuer", EVE.issuer, "--json"]),
    ]
    out, err = capsys.readouterr()
    words, as_json = out.splitlines()

    assert codes == [0, 0]
    assert stub.asked == [(EVE.person, "", "stolen token"), ("eve", EVE.issuer, "")]
    assert words == f"{EVE.person} is banned (ban 3); waiting jobs are held, running jobs killed"
    assert json.loads(as_json)["ban"]["subject"] == "eve"
    assert err == ""


def test_whoever_is_banned_already_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(Stub(repeated=True), monkeypatch)

    assert run(["ban", EVE.person]) == 0
    assert (
        capsys.readouterr().out
        == f"{EVE.person} has already been banned since {EVE.since}, by oscar\n"
    )


@pytest.mark.parametrize(
    ("issued", "named"), [(2, "t0 t1"), (12, f"{' '.join(f't{n}' for n in range(10))} …")]
)
def test_tokens_for_others_are_named_with_the_command_that_revokes_them(
    issued: int, named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(Stub(issued=issued), monkeypatch)
    run(["ban", EVE.person])

    assert capsys.readouterr().err.splitlines() == [
        f"pilotage: valid tokens that eve has issued to others: {issued}",
        f"pilotage: an admin can revoke them: pilotage token revoke {named}",
    ]


def test_a_ban_is_lifted_by_the_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(stub := Stub(), monkeypatch)
    codes = [run(["unban", EVE.person]), run(["unban", "nobody"])]
    out, err = capsys.readouterr()

    assert codes == [0, 3]
    assert stub.asked == [(EVE.person, ""), ("nobody", "")]
    assert out == f"{EVE.person} is no longer banned; the jobs that ban 3 held are released\n"
    assert "'nobody' is not banned" in err


def test_bans_are_listed_and_lifted_ones_if_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(stub := Stub(), monkeypatch)
    run(["bans"])
    few = capsys.readouterr().out.splitlines()
    run(["bans", "--all"])
    many = capsys.readouterr().out.splitlines()

    assert stub.asked == [False, True]
    assert [len(few), len(many)] == [2, 3]
    assert few[1].split() == ["3", EVE.person, EVE.since, "oscar", "stolen", "token"]
    assert "lifted 2026-12-03T10:00:00.000Z by oscar, releasing" in many[2]
