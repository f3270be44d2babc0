"""Robots with tokens of a provider; a provider that is away; and secrets that must not leak."""

import json
import re
import subprocess
import time
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import httpx
import msgspec
import pytest

from pilotage.central.client import Client, errors
from pilotage.proto.documents.job import Job
from pilotage.proto.trust import trusting
from tests.acceptance.running import RunningCentral, running_central

from .browser import Person
from .logging_in import COMMUNITY, Terminal, provider_file
from .providers import FACTORY, Account, RunningProvider, running_provider

AUDIENCE = "https://central.example.org"
PAGE = Path(__file__).resolve().parents[3] / "docs/identity/robots.md"
USERS = {"alice": Account(("/ctao/prod",))}


def robot_token(provider: RunningProvider, audience: str = AUDIENCE) -> str:
    """Return a token that a robot gets with the secret of its client."""
    answer = httpx.post(
        f"{provider.issuer}/token",
        data={"grant_type": "client_credentials", "resource": audience},
        auth=(FACTORY, provider.clients[FACTORY]),
        verify=trusting(str(provider.ca_file)),
    )
    return str(answer.json()["access_token"])


def block_of_page(kind: str) -> str:
    """Return a block of the page about robots, for the client that the provider knows."""
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return str(found).replace("robot-1", FACTORY)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningProvider]:
    with running_provider(tmp_path_factory.mktemp("provider"), users=USERS) as provider:
        yield provider


@pytest.fixture(scope="module")
def central(
    provider: RunningProvider, tmp_path_factory: pytest.TempPathFactory
) -> Generator[RunningCentral]:
    """A central that starts while the provider is away."""
    folder = tmp_path_factory.mktemp("central")
    (folder / "identity").mkdir()
    written = provider_file(provider, **msgspec.yaml.decode(block_of_page("yaml")))
    (folder / "identity" / "iam.yaml").write_bytes(written)
    options = {"token.providers": str(folder / "identity"), "community.name": COMMUNITY}
    provider.away("refuse")
    with running_central(folder / "central", options) as central:
        provider.set_redirects(f"{central.url}/auth/callback/iam")
        yield central


def test_a_central_starts_without_its_provider_and_learns_its_keys_later(
    central: RunningCentral, provider: RunningProvider, tmp_path: Path
) -> None:
    assert central.client.submit([Job(command=("true",))]).ids()
    said = Terminal(tmp_path).type("login", central.url, "--patience-s", "0", code=3)
    assert "iam does not answer" in said
    provider.back()
    time.sleep(1.0)  # the central asks an unknown provider once in this time (metadata.SOON_S)
    with Person("alice", provider.ca_file) as alice:
        Terminal(tmp_path).log_in(alice, central.url)  # the keys are fetched for this login
    with Client(central.url, robot_token(provider)) as robot:
        assert robot.whoami().subject == FACTORY


def test_a_robot_submits_with_a_token_of_the_provider(
    central: RunningCentral, provider: RunningProvider
) -> None:
    with Client(central.url, robot_token(provider)) as robot:
        who = robot.whoami()
        assert (who.issuer, who.subject, who.groups) == (provider.issuer, FACTORY, ("prod",))
        (job,) = robot.submit([Job(command=("true",))]).ids()
        assert robot.detail(job).view.owner == f"{FACTORY}@{provider.issuer}"


def test_a_robot_gets_its_token_with_the_script_of_its_page(
    central: RunningCentral, provider: RunningProvider, tmp_path: Path
) -> None:
    terminal, token = Terminal(tmp_path), tmp_path / "robot.token"
    secret, script = tmp_path / "robot.secret", tmp_path / "robot-token.sh"
    secret.write_text(provider.clients[FACTORY])
    here = block_of_page("sh").replace("https://iam.example.org/token", f"{provider.issuer}/token")
    script.write_text(here.replace("audience=", "resource="))  # as RFC 8707 calls it
    trusting = terminal.environment | {"CURL_CA_BUNDLE": str(provider.ca_file)}
    subprocess.run(["sh", script.name], cwd=tmp_path, env=trusting, check=True, timeout=60)
    terminal.environment |= {"PILOTAGE_URL": central.url, "PILOTAGE_TOKEN_FILE": str(token)}
    mode = token.stat().st_mode & 0o777
    said = terminal.type("whoami")
    secret.write_text("wrong")
    again = subprocess.run(["sh", script.name], cwd=tmp_path, env=trusting, timeout=60)

    assert mode == 0o600
    assert f"{FACTORY} (no name), user at" in said and "groups prod" in said
    assert again.returncode == 22 and token.stat().st_size, "a failure keeps the last token"


@pytest.mark.parametrize("audience", ["https://other.example.org", AUDIENCE + "/"])
def test_a_token_for_another_service_is_refused(
    central: RunningCentral, provider: RunningProvider, audience: str
) -> None:
    robot = Client(central.url, robot_token(provider, audience))
    with robot, pytest.raises(errors.NotAuthenticated, match="not valid here"):
        robot.whoami()


def test_tokens_still_verify_while_the_provider_is_away(
    central: RunningCentral, provider: RunningProvider
) -> None:
    token = robot_token(provider)
    for kind in ("refuse", "hang", "error"):
        provider.away(kind)
        try:
            with Client(central.url, token) as robot:
                began = time.monotonic()
                robot.whoami()
                assert time.monotonic() - began < 2.0
        finally:
            provider.back()


def test_no_secret_of_the_provider_is_in_clear_in_store_logs_or_backups(
    central: RunningCentral, provider: RunningProvider, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        alice = stack.enter_context(Person("alice", provider.ca_file))
        terminal = Terminal(tmp_path / "home")
        terminal.log_in(alice, central.url)
    central.type("admin", "backup", str(tmp_path / "backup"))
    provider.stop()  # it writes its grants down
    provider.start()
    records = json.loads((provider.ca_file.parent / "records.json").read_bytes())
    names = [name for name, _ in records]
    refresh = [one.partition(":")[2] for one in names if one.startswith("RefreshToken:")]
    assert refresh, "the provider has given refresh tokens"
    secrets = [one.encode() for one in (*refresh, provider.clients["pilotage-web"])]
    seen = 0
    for folder in (central.folder, tmp_path):
        for path in folder.rglob("*"):
            if path.is_file():
                seen += 1
                content = path.read_bytes()
                assert not [one for one in secrets if one in content], path
    assert seen > 10
