"""Issuing tokens: what is told beside them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pilotage.central.cli.main import run
from pilotage.central.client.errors import Forbidden
from pilotage.proto.api.tokens import TokenIssue, TokenIssued, TokenView, WhoAmI
from pilotage.proto.claims import Role

from .stub_client import give

BEGAN = datetime(2026, 12, 1, 10, tzinfo=UTC)


class Central:
    """Issues any token; its administrator has two groups."""

    url = "https://central.test"

    def __init__(self, community: str = "ctao", *, session: str = "", life_s: int = 86_400) -> None:
        self._community, self._session, self._life_s = community, session, life_s

    async def whoami(self) -> WhoAmI:
        return WhoAmI(
            subject="admin",
            issuer="here",
            name="",
            community=self._community,
            groups=("analysis", "simulation") if self._community else (),
            role=Role.ADMIN,
            expires_in_s=60.0,
            session=self._session,
        )

    async def issue_token(self, wanted: TokenIssue) -> TokenIssued:
        view = TokenView(
            jti="7",
            subject=wanted.subject,
            community=wanted.community or self._community,
            groups=list(wanted.groups) or ["analysis"],
            role=wanted.role,
            issued_at="2026-12-01T10:00:00.000Z",
            expires_at=(BEGAN + timedelta(seconds=min(wanted.valid_s, self._life_s))).isoformat(),
            revoked=False,
        )
        return TokenIssued(token="t", view=view)


@pytest.mark.parametrize(
    ("issuer", "words", "told"),
    [
        ("ctao", "--group nogroup --group analysis", ["nogroup"]),
        ("ctao", "--group analysis", []),
        ("ctao", "", []),
        ("ctao", "--community lhcb --group nogroup", []),
        ("", "--community ctao --group nogroup", []),
    ],
)
def test_a_group_that_the_issuer_does_not_have_is_told(
    issuer: str,
    words: str,
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    give(Central(issuer), monkeypatch)

    assert run(["token", "issue", "carl", *words.split()]) == 0
    said = capsys.readouterr()
    assert said.out == "t\n"
    notes = [one for one in said.err.splitlines() if "spelling" in one]
    assert notes == [
        f"pilotage: your own token does not have the group {one!r}: check its spelling"
        for one in told
    ]


@pytest.mark.parametrize(
    ("session", "life_s", "told"),
    [
        ("", 86_400, ""),
        ("", 60, "this token ends with your own one"),
        ("s1", 1_800, "tokens that live longer need `pilotage login --role admin`"),
    ],
)
def test_a_token_that_lives_shorter_than_asked_for_says_why(
    session: str,
    life_s: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    give(Central(session=session, life_s=life_s), monkeypatch)

    assert run(["token", "issue", "robot-2"]) == 0
    said = capsys.readouterr().err
    assert told in said
    assert ("this token ends" in said) is bool(told)


def test_a_refused_token_leaves_no_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing(Central):
        async def issue_token(self, wanted: TokenIssue) -> TokenIssued:
            raise Forbidden("forbidden", "your role may not")

    file = tmp_path / "robot.json"
    words = ["token", "issue", "robot-1", "--save", str(file)]
    give(Refusing(), monkeypatch)
    assert run(words) != 0
    assert not file.exists()
    give(Central(), monkeypatch)
    assert run(words) == 0
    assert (file.stat().st_mode & 0o777, b'"token":"t"' in file.read_bytes()) == (0o600, True)
