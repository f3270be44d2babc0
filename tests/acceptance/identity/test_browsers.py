"""Browsers at a central: the way to the provider and back, cookies, and pages of other sites."""

from collections.abc import Generator
from contextlib import ExitStack

import pytest

from tests.acceptance.running import RunningCentral, running_central

from .browser import Person
from .logging_in import COMMUNITY, provider_file
from .providers import Account, RunningProvider, running_provider

MARK = {"x-pilotage": "1"}
COOKIE = "pilotage-session"  # over plain http on this machine; else with the prefix __Host-


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningProvider]:
    users = {"alice": Account(("/ctao/prod",)), "mallory": Account(("/ctao/prod",))}
    with running_provider(tmp_path_factory.mktemp("provider"), users=users) as provider:
        yield provider


@pytest.fixture(scope="module")
def central(
    provider: RunningProvider, tmp_path_factory: pytest.TempPathFactory
) -> Generator[RunningCentral]:
    folder = tmp_path_factory.mktemp("central")
    (folder / "identity").mkdir()
    (folder / "identity" / "iam.yaml").write_bytes(provider_file(provider))
    options = {"token.providers": str(folder / "identity"), "community.name": COMMUNITY}
    with running_central(folder / "central", options) as central:
        provider.set_redirects(f"{central.url}/auth/callback/iam")
        yield central


@pytest.fixture
def people(provider: RunningProvider) -> Generator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def logged_in(stack: ExitStack, central: RunningCentral, provider: RunningProvider) -> Person:
    alice = stack.enter_context(Person("alice", provider.ca_file))
    page = alice.walk(f"{central.url}/auth/start?to=/health", until=f"{central.url}/health")
    assert page.address == f"{central.url}/health"
    return alice


def test_a_browser_comes_back_logged_in(
    central: RunningCentral, provider: RunningProvider, people: ExitStack
) -> None:
    alice = logged_in(people, central, provider)
    cookie = alice.cookie(COOKIE)
    assert cookie is not None and cookie.path == "/" and not cookie.domain_specified
    who = alice.ask("GET", f"{central.url}/v1/whoami").json()
    assert (who["subject"], who["groups"]) == ("alice", ["prod"])
    log = central.log
    assert cookie.value is not None and cookie.value not in log, "a cookie is in the log"


def test_pages_of_other_sites_change_nothing(
    central: RunningCentral, provider: RunningProvider, people: ExitStack
) -> None:
    alice = logged_in(people, central, provider)
    url, job = f"{central.url}/v1/submissions", {"key": "one", "jobs": [{"command": ["true"]}]}
    for origin, headers in (("https://evil.test", MARK), ("", MARK), (None, {})):
        said = alice.ask("POST", url, origin=origin, headers=headers, json=job)
        assert said.status_code in (401, 403), "without its cookie, or refused with it"
    done = alice.ask("POST", url, headers=MARK, json=job)
    assert done.status_code == 200, done.text


def test_logging_out_forgets_the_cookie(
    central: RunningCentral, provider: RunningProvider, people: ExitStack
) -> None:
    alice = logged_in(people, central, provider)
    stolen = alice.cookie(COOKIE)
    assert stolen is not None
    alice.ask("GET", f"{central.url}/v1/whoami")
    assert alice.ask("POST", f"{central.url}/auth/logout", headers=MARK).status_code == 204
    thief = people.enter_context(Person("mallory"))
    thief.jar.set_cookie(stolen)
    assert thief.ask("GET", f"{central.url}/v1/whoami").status_code == 401


def test_nobody_logs_a_browser_in_as_somebody_else(
    central: RunningCentral, provider: RunningProvider, people: ExitStack
) -> None:
    """Mallory completes a login up to the callback, and lets Alice's browser open it."""
    mallory = people.enter_context(Person("mallory", provider.ca_file))
    callback = mallory.walk(
        f"{central.url}/auth/start?to=/health", until=f"{central.url}/auth/callback"
    )
    alice = people.enter_context(Person("alice", provider.ca_file))
    page = alice.open(callback.address)
    assert page.status == 403 and alice.cookie(COOKIE) is None
    assert mallory.open(callback.address).status == 409, "the answer was used"


def test_a_login_sends_nobody_elsewhere(
    central: RunningCentral, provider: RunningProvider, people: ExitStack
) -> None:
    alice = people.enter_context(Person("alice", provider.ca_file))
    for to in ("https://evil.test/", "//evil.test/", "/\\evil.test"):
        assert alice.open(f"{central.url}/auth/start?to={to}").status == 422
