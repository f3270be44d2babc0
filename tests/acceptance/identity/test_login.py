"""People log in at a central through real providers, with a code or with a browser."""

import json
import os
import stat
import subprocess
import time
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from tests.acceptance.running import RunningCentral, running_central

from .browser import Person
from .logging_in import COMMUNITY, Terminal, provider_file
from .providers import PROFILES, Account, RunningProvider, running_provider

USERS = {
    "alice": Account(("/ctao", "/ctao/prod")),
    "bob": Account(("/ctao/prod",)),
    "eve": Account(("/other",)),
}


@dataclass(frozen=True)
class Institutes:
    """A central that knows a provider of each kind."""

    central: RunningCentral
    providers: dict[str, RunningProvider]
    folder: Path

    def terminal(self, name: str) -> Terminal:
        return Terminal(self.folder / name)

    def logged_in(self, name: str, *words: str, login: str = "alice") -> Terminal:
        """Return a terminal at which somebody has logged in through `wlcg`."""
        terminal = self.terminal(name)
        with Person(login, self.providers["wlcg"].ca_file) as person:
            terminal.log_in(person, self.central.url, "--provider", "wlcg", *words)
        return terminal

    def file_of(self, terminal: Terminal) -> Path:
        """Return the file of a login at this central."""
        (found,) = (terminal.home / ".config/pilotage/centrals").glob("*.json")
        return found


@pytest.fixture(scope="module")
def institutes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Institutes]:
    folder = tmp_path_factory.mktemp("institutes")
    with ExitStack() as stack:
        providers = {
            profile: stack.enter_context(running_provider(folder / profile, profile, users=USERS))
            for profile in PROFILES
        }
        (folder / "identity").mkdir()
        for profile, one in providers.items():
            (folder / "identity" / f"{profile}.yaml").write_bytes(provider_file(one))
        options = {"token.providers": str(folder / "identity"), "community.name": COMMUNITY}
        central = stack.enter_context(running_central(folder / "central", options))
        for profile, one in providers.items():
            one.set_redirects(f"{central.url}/auth/callback/{profile}")
        yield Institutes(central, providers, folder)


@pytest.mark.parametrize("way", ["device", "browser"])
@pytest.mark.parametrize("profile", PROFILES)
def test_people_log_in_through_every_kind_of_provider(
    institutes: Institutes, profile: str, way: str
) -> None:
    provider, central = institutes.providers[profile], institutes.central
    terminal = institutes.terminal(f"{profile}-{way}")
    words = (central.url, "--provider", profile, *(("--browser",) if way == "browser" else ()))
    with Person("alice", provider.ca_file) as alice:
        began = time.monotonic()
        said = terminal.log_in(alice, *words)
        took_s = time.monotonic() - began
    assert "user in ctao, groups prod" in said
    assert took_s < 5.0
    who = json.loads(terminal.type("whoami", "--json"))
    assert (who["issuer"], who["subject"]) == (provider.issuer, provider.subject("alice"))
    assert (who["community"], who["groups"], who["role"]) == (COMMUNITY, ["prod"], "user")


def test_a_login_submits_jobs_and_its_file_is_private(institutes: Institutes) -> None:
    terminal = institutes.logged_in("submitter")
    assert "job 1" in terminal.type("submit", "--", "true")
    assert stat.S_IMODE(os.stat(institutes.file_of(terminal)).st_mode) == 0o600
    for folder in (".config/pilotage/centrals",):
        assert stat.S_IMODE(os.stat(terminal.home / folder).st_mode) == 0o700


def test_a_second_login_ends_the_session_of_the_first(institutes: Institutes) -> None:
    terminal = institutes.logged_in("twice")
    first = json.loads(terminal.type("whoami", "--json"))["session"]
    provider = institutes.providers["wlcg"]
    with Person("alice", provider.ca_file) as alice:
        terminal.log_in(alice, institutes.central.url, "--provider", "wlcg")
    found = json.loads(terminal.type("session", "list", "--json"))["sessions"]

    assert {one["session"]: one["ended"] for one in found}[first] == "a new login replaced it"
    assert "alice" in terminal.type("whoami"), "the new one is good"


def test_several_providers_must_be_named(institutes: Institutes) -> None:
    said = institutes.terminal("undecided").type("login", institutes.central.url, code=3)
    assert "choose one with --provider: cilogon, egi, iam, keycloak, wlcg" in said


def test_who_is_in_no_group_here_is_told_what_was_seen(institutes: Institutes) -> None:
    terminal = institutes.terminal("eve")
    with Person("eve", institutes.providers["wlcg"].ca_file) as eve:
        said = terminal.log_in(eve, institutes.central.url, "--provider", "wlcg", code=3)
    assert "'/other'" in said


@pytest.mark.parametrize("step", ["device", "consent"])
def test_a_person_may_refuse(institutes: Institutes, step: Literal["device", "consent"]) -> None:
    terminal = institutes.terminal(f"refusing-{step}")
    way = ("--browser",) if step == "consent" else ()
    words = (institutes.central.url, "--provider", "wlcg", *way)
    with (
        Person("alice", institutes.providers["wlcg"].ca_file) as alice,
        terminal.logging_in(*words) as (process, url),
    ):
        alice.walk(url, refuses=step, user_code="NONE")
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 3 and "refused" in said


def test_a_token_near_its_end_is_renewed_once_by_many_commands(institutes: Institutes) -> None:
    terminal = institutes.logged_in("renewing")
    file = institutes.file_of(terminal)
    before = msgspec.json.decode(file.read_bytes())
    file.write_bytes(msgspec.json.encode(before | {"expires_at": 0.0}))
    together = [
        subprocess.Popen(terminal.command("whoami"), env=terminal.environment) for _ in range(4)
    ]
    assert [one.wait(60) for one in together] == [0] * 4
    after = msgspec.json.decode(file.read_bytes())
    assert after["renewal"] != before["renewal"] and not after.get("nonce")
    number = after["renewal"].split("pr1.")[1].split(".")[0]
    assert number == "2", "four commands renewed the login once"


def test_a_renewal_whose_answer_was_lost_is_repeated(institutes: Institutes) -> None:
    terminal = institutes.logged_in("unlucky")
    file = institutes.file_of(terminal)
    before = msgspec.json.decode(file.read_bytes()) | {"expires_at": 0.0, "nonce": "n" * 32}
    file.write_bytes(msgspec.json.encode(before))
    terminal.type("whoami")
    file.write_bytes(msgspec.json.encode(before))  # as if the answer had never come
    terminal.type("whoami")


def test_a_copied_login_is_noticed(institutes: Institutes) -> None:
    terminal = institutes.logged_in("copied")
    file = institutes.file_of(terminal)
    stolen = msgspec.json.decode(file.read_bytes()) | {"expires_at": 0.0}
    for _ in range(2):  # the owner goes on: two renewals
        mine = msgspec.json.decode(file.read_bytes()) | {"expires_at": 0.0}
        file.write_bytes(msgspec.json.encode(mine))
        terminal.type("whoami")
    mine = file.read_bytes()
    file.write_bytes(msgspec.json.encode(stolen))
    assert "used twice" in terminal.type("whoami", code=3)
    file.write_bytes(mine)
    assert "used twice" in terminal.type("whoami", code=3)


def test_logging_out_ends_the_tokens_and_the_grant(institutes: Institutes) -> None:
    terminal = institutes.logged_in("leaving")
    kept = msgspec.json.decode(institutes.file_of(terminal).read_bytes())
    token_file = terminal.home / "stolen.token"
    token_file.touch(mode=0o600)
    token_file.write_text(kept["token"])
    revoked = len(institutes.providers["wlcg"].requests("/token/revocation"))
    again = f"`pilotage login {institutes.central.url}` logs in again"
    said = terminal.type("logout")
    assert "logged out" in said and again in said
    assert again in terminal.type("logout", code=4)
    assert not list((terminal.home / ".config/pilotage/centrals").glob("*.json"))
    assert len(institutes.providers["wlcg"].requests("/token/revocation")) == revoked + 1
    thief = institutes.terminal("thief")
    thief.environment |= {"PILOTAGE_TOKEN_FILE": str(token_file)}
    said = thief.type("whoami", "--url", institutes.central.url, code=3)
    assert "not valid here" in said


def test_people_see_their_sessions_and_end_one(institutes: Institutes) -> None:
    one = institutes.logged_in("laptop", login="bob")
    other = institutes.logged_in("desktop", login="bob")
    found = json.loads(one.type("session", "list", "--json"))["sessions"]
    mine = json.loads(one.type("whoami", "--json"))["session"]
    (theirs,) = {each["session"] for each in found if not each.get("ended")} - {mine}
    one.type("session", "end", theirs)
    assert "this login has ended: ended by bob" in other.type("whoami", code=3)
    one.type("whoami")


def test_several_centrals_work_side_by_side(institutes: Institutes, tmp_path: Path) -> None:
    terminal = institutes.logged_in("traveller")
    provider = institutes.providers["iam"]
    options = {
        "token.providers": str(institutes.folder / "identity"),
        "community.name": COMMUNITY,
    }
    with running_central(tmp_path / "second", options) as second:
        provider.set_redirects(f"{second.url}/auth/callback/iam")
        try:
            with Person("alice", provider.ca_file) as alice:
                terminal.log_in(alice, second.url, "--provider", "iam")
            here = json.loads(terminal.type("whoami", "--json"))
            there = json.loads(terminal.type("whoami", "--json", "--url", institutes.central.url))
            assert here["issuer"] == provider.issuer, "the last login is the default"
            assert there["issuer"] == institutes.providers["wlcg"].issuer
            here = f"you are logged in at {institutes.central.url}: choose it with --url"
            assert here in terminal.type("logout")
            assert here in terminal.type("whoami", code=4)
            assert here in terminal.type("logout", code=4)
            terminal.type("whoami", "--url", institutes.central.url)
        finally:
            provider.set_redirects(f"{institutes.central.url}/auth/callback/iam")
