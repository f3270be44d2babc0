"""Issuing tokens: what is told beside them."""

from pathlib import Path

import pytest

from pilotage.central.cli.main import run
from pilotage.central.client.errors import Forbidden
from pilotage.proto.api.tokens import TokenIssue, TokenIssued, TokenView, WhoAmI
from pilotage.proto.claims import Role

from .stub_client import give


class Central:
    """Issues any token; its administrator has two groups."""

    def __init__(self, community: str = "ctao") -> None:
        self._community = community

    async def whoami(self) -> WhoAmI:
        return WhoAmI(
            subject="admin",
            issuer="here",
            name="",
            community=self._community,
            groups=("analysis", "simulation") if self._community else (),
            role=Role.ADMIN,
            expires_in_s=60.0,
        )

    async def issue_token(self, wanted: TokenIssue) -> TokenIssued:
        view = TokenView(
            jti="7",
            subject=wanted.subject,
            community=wanted.community or self._community,
            groups=list(wanted.groups) or ["analysis"],
            role=wanted.role,
            issued_at="",
            expires_at="",
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


def test_a_refused_token_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(Central):
        async def issue_token(self, wanted: TokenIssue) -> TokenIssued:
            raise Forbidden("forbidden", "not for you", "")

    save = tmp_path / "carl.json"
    give(Refusing(), monkeypatch)

    assert run(["token", "issue", "carl", "--save", str(save)]) == 3
    assert not save.exists()
