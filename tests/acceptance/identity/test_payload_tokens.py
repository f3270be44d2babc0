"""Payloads use services in the name of their owner: a real provider, central, pilot and payload."""

import json
import sys
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.canaries import check_secrets
from tests.acceptance.running import RunningCentral, RunningPilot, eventually, running_central

from .browser import Person
from .logging_in import COMMUNITY, Terminal, provider_file
from .providers import Account, RunningProvider, running_provider

SERVICE = "https://se.example.org"
SCOPES = ["openid", "profile", "offline_access", "wlcg.groups", "storage.read:/"]
TOKENS_S = 6  # life of the tokens
# Prints the claims and the mode of each new token, until it may end.
READS = """
import base64, json, os, stat, time
path, seen, until = os.environ["BEARER_TOKEN_FILE"], set(), time.time() + 300
while not os.path.exists("enough") and time.time() < until:
    token = open(path).read()
    if token not in seen:
        seen.add(token)
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        claims["left_s"] = claims["exp"] - time.time()
        claims["mode"] = oct(stat.S_IMODE(os.stat(path).st_mode))
        claims["names"] = sorted(os.listdir(os.environ["PILOTAGE_TOKENS"]))
        print(json.dumps(claims), flush=True)
    time.sleep(0.2)
"""


@dataclass(frozen=True)
class Institute:
    """A central with a pilot, and a provider at which alice has logged in."""

    central: RunningCentral
    pilot: RunningPilot
    provider: RunningProvider
    terminal: Terminal

    def token_texts(self) -> set[str]:
        """Return the tokens that are in files of payloads now."""
        found: set[str] = set()
        for file in self.pilot.state.glob("attempts/*/tokens/[a-z]*"):
            try:
                found.add(file.read_text())
            except FileNotFoundError:  # it has ended just now
                continue
        return found

    def exchanges(self) -> int:
        return sum("token-exchange" in one.grant for one in self.provider.requests("/token"))

    def printed(self) -> int:
        """Return how many lines the payload has printed so far."""
        found = [file.read_text() for file in self.pilot.state.glob("attempts/*/stdout")]
        return "".join(found).count("\n")

    def history(self, job: str) -> list[dict[str, Any]]:
        return list(json.loads(self.terminal.type("history", job, "--json"))["occurrences"])

    def state(self, job: str) -> str:
        return str(json.loads(self.central.type("show", job, "--json"))["view"]["state"])


@pytest.fixture(scope="module")
def institute(tmp_path_factory: pytest.TempPathFactory) -> Generator[Institute]:
    folder = tmp_path_factory.mktemp("institute")
    users = {"alice": Account(("/ctao/prod",))}
    with ExitStack() as stack:
        provider = stack.enter_context(
            running_provider(folder / "provider", users=users, access_s=TOKENS_S)
        )
        (folder / "identity").mkdir()
        content = provider_file(provider, scopes=SCOPES)
        (folder / "identity" / "iam.yaml").write_bytes(content)
        options = {"token.providers": str(folder / "identity"), "community.name": COMMUNITY}
        central = stack.enter_context(running_central(folder / "central", options))
        provider.set_redirects(f"{central.url}/auth/callback/iam")
        pilot = central.pilot(cores=2)
        terminal = Terminal(folder / "home")
        with Person("alice", provider.ca_file) as alice:
            terminal.log_in(alice, central.url)
        yield Institute(central, pilot, provider, terminal)


def test_a_token_that_the_central_made_gives_no_tokens_to_jobs(institute: Institute) -> None:
    said = institute.central.type("submit", "--token", f"default={SERVICE}", "--", "true", code=3)
    assert "--token: " in said and "pilotage login" in said


def test_a_payload_gets_tokens_of_its_owner_which_outlive_the_login(institute: Institute) -> None:
    one, seen = institute, set[str]()
    tokens = ("--token", f"default={SERVICE},storage.read:/ctao")
    wide = ("--token", f"wide={SERVICE},storage.modify:/")
    said = one.terminal.type("submit", *tokens, *wide, "--", sys.executable, "-c", READS)
    job = said.split("job ")[1].split()[0]
    eventually(one.token_texts, what="a token")
    seen |= one.token_texts()
    check_secrets(one.central, frozenset(seen))

    eventually(lambda: one.printed() >= 2, what="a renewal")
    assert any("wide is refused" in event["detail"] for event in one.history(job))
    assert "logged out" in one.terminal.type("logout")
    assert not one.provider.requests("/token/revocation"), "a job still uses the grant"
    before = one.exchanges()
    seen |= one.token_texts()

    def is_renewed() -> bool:
        seen.update(one.token_texts())
        return one.exchanges() >= before + 3

    eventually(is_renewed, what="three renewals after the logout")
    (work,) = one.pilot.state.glob("attempts/*/work")
    (work / "enough").touch()
    eventually(lambda: one.state(job) == "Done", what="the end of the job")
    assert len(seen) >= 3 and not one.token_texts()
    said = one.central.type("logs", job)
    claims = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert len(claims) >= 4
    for each in claims:
        assert (each["sub"], each["aud"], each["scope"]) == ("alice", SERVICE, "storage.read:/ctao")
        assert each["mode"] == "0o600" and each["left_s"] > 0
        assert each["names"] == ["default"]
    told = json.loads(one.central.type("history", job, "--json"))["occurrences"]
    (refusal,) = [event["detail"] for event in told if "token" in event["detail"]]
    assert "token wide is refused" in refusal and "invalid_scope" in refusal
    check_secrets(one.central, frozenset(seen))
    check_nowhere(one, seen)


def check_nowhere(one: Institute, tokens: set[str]) -> None:
    """Assert that no file of the central or the pilot has a token, or the refresh token."""
    one.provider.stop()
    records = json.loads((one.provider.ca_file.parent / "records.json").read_text())
    refresh = {key.partition(":")[2] for key, _ in records if key.startswith("RefreshToken:")}
    assert refresh, "the provider keeps its records in another way now"
    words = [each.encode() for each in tokens | refresh]
    found = [
        str(file)
        for file in one.central.folder.rglob("*")
        if file.is_file() and any(word in file.read_bytes() for word in words)
    ]

    assert not found
