"""Credentials are fresh, or say by name why they are not."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pilotage.central.factory.commands import CommandOutcomeUnknown, CompletedCommand
from pilotage.central.factory.credential import Credential, keep
from pilotage.central.factory.credentials.sources import source
from pilotage.central.factory.errors import BadOptions, CredentialExpired

from .test_factory import HandClock


def a_token(clock: HandClock, for_s: float) -> str:
    claims = json.dumps({"exp": clock.wall() + for_s, "sub": "factory"}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).rstrip(b'=').decode()}.c2ln"


class Printing:
    """A program that prints what it is told."""

    def __init__(self) -> None:
        self.prints: list[CompletedCommand | CommandOutcomeUnknown] = []
        self.runs = 0

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> CompletedCommand:
        self.runs += 1
        found = self.prints.pop(0)
        if isinstance(found, CommandOutcomeUnknown):
            raise found
        return found


async def test_a_file_is_read_each_time(tmp_path: Path) -> None:
    clock, file = HandClock(), tmp_path / "token"
    reads = source("file", {"path": str(file)}, commands=Printing(), clock=clock)
    file.write_text(a_token(clock, 600) + "\n")
    first = await reads.current()
    file.write_text("opaque")

    second = await reads.current()

    assert first.expires_at == clock.wall() + 600
    assert (second.text, second.expires_at) == ("opaque", None)


@pytest.mark.parametrize(
    ("content", "told"), [(None, "cannot be read"), (" \n", "is empty"), ("old", "expired 5 s ago")]
)
async def test_what_is_wrong_with_a_file_is_told(
    tmp_path: Path, content: str | None, told: str
) -> None:
    clock, file = HandClock(), tmp_path / "token"
    reads = source("file", {"path": str(file)}, commands=Printing(), clock=clock)
    if content is not None:
        file.write_text(a_token(clock, -5) if content == "old" else content)

    with pytest.raises(CredentialExpired, match=f"{file}: {told}"):
        await reads.current()


async def test_a_program_is_run_again_in_time_and_not_for_each_use() -> None:
    clock, program = HandClock(), Printing()
    reads = source("command", {"argv": ["oidc-token"]}, commands=program, clock=clock)
    program.prints = [CompletedCommand(0, a_token(clock, 1_000).encode(), b"")]
    await reads.current()
    clock.now += 700
    await reads.current()
    before = program.runs
    clock.now += 100
    program.prints = [CompletedCommand(0, a_token(clock, 1_000).encode(), b"")]

    renewed = await reads.current()

    assert (before, program.runs) == (1, 2)
    assert renewed.expires_at == clock.wall() + 1_000


async def test_a_program_that_fails_is_borne_as_long_as_its_last_word_is_good() -> None:
    clock, program = HandClock(), Printing()
    reads = source("command", {"argv": ["oidc-token"]}, commands=program, clock=clock)
    program.prints = [
        CompletedCommand(0, a_token(clock, 1_000).encode(), b""),
        CompletedCommand(1, b"", b"the agent is away"),
        CommandOutcomeUnknown("oidc-token: not ended after 30 s"),
    ]
    await reads.current()
    clock.now += 800
    borne = await reads.current()
    clock.now += 190

    assert borne.text
    with pytest.raises(CredentialExpired, match="oidc-token"):
        await reads.current()


def test_a_wrong_source_or_option_is_named() -> None:
    clock, program = HandClock(), Printing()

    with pytest.raises(
        BadOptions, match="no source 'vault'; known sources: client, command, file, issuer, "
    ):
        source("vault", {}, commands=program, clock=clock)
    with pytest.raises(BadOptions, match="credential.source: there is no issuer here"):
        source("issuer", {"audience": "ce"}, commands=program, clock=clock)
    with pytest.raises(BadOptions, match=r"credential.options.path: "):
        source("file", {"path": "relative"}, commands=program, clock=clock)
    with pytest.raises(BadOptions, match=r"credential.options.path: "):
        source("renewed", {"path": "/run/\0token"}, commands=program, clock=clock)


def test_a_file_for_programs_is_ours_alone(tmp_path: Path) -> None:
    file = keep(Credential("secret"), tmp_path / "token")

    assert file.stat().st_mode & 0o777 == 0o600
    assert "secret" not in repr(Credential("secret"))
