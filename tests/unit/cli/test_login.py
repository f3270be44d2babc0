"""`pilotage login`: the words that a person sees."""

import threading
import webbrowser

import pytest

from pilotage.central.cli.identity.login import end_session, open_browser
from pilotage.central.cli.identity.login_words import (
    device_words,
    login_words,
    no_device_flow,
    no_such_provider,
    one_line,
)
from pilotage.central.cli.main import run
from pilotage.central.client.credentials import CentralLogin
from pilotage.central.client.logins.login_flows import pause_between_polls_s
from pilotage.central.client.transport import Transport
from pilotage.proto.api.logins import DeviceStarted, LoginTokens, ProviderView
from pilotage.proto.api.tokens import WhoAmI
from pilotage.proto.claims import Role
from tests.unit.client.stub_central import StubCentral, ok, problem

from .stub_client import give


def started(**changed: str) -> DeviceStarted:
    said = {
        "user_code": "ABCD",
        "verification_uri": "https://iam.test/device",
        "verification_uri_complete": "",
        "provider": "iam",
    } | changed
    return DeviceStarted(login="l", expires_in_s=600.0, interval_s=5.0, **said)


def view(name: str, *, device: bool) -> ProviderView:
    return ProviderView(name=name, title=name, issuer=f"https://{name}.test", device=device)


def test_a_code_is_shown_with_its_address() -> None:
    found = device_words(started())

    assert found[0] == "open https://iam.test/device"
    assert found[1] == "and confirm the code ABCD there, with your account at iam"


def test_people_see_the_title_of_the_provider_not_its_name() -> None:
    iam = ProviderView(name="iam", title="CTAO\nlogin", issuer="https://iam.test/", device=True)

    assert device_words(started(), [iam])[1].endswith(
        "your account at CTAO\N{REPLACEMENT CHARACTER}login"
    )


@pytest.mark.parametrize("name", ["user_code", "verification_uri", "verification_uri_complete"])
@pytest.mark.parametrize("bad", ["\x1b[2J", "\n", "\r", "\x9b", "\u0430", "\u202e"])
def test_no_provider_writes_on_the_terminal(name: str, bad: str) -> None:
    found = device_words(started(**{name: f"https://a{bad}b"}))

    assert all(line.replace("\N{REPLACEMENT CHARACTER}", "?").isascii() for line in found)
    assert all(line.isprintable() for line in found)
    assert any("https://a\N{REPLACEMENT CHARACTER}" in line for line in found)


def test_the_name_of_a_provider_stays_on_its_line() -> None:
    assert one_line("Höhe\nopen https://evil.test\x1b") == "Höhe�open https://evil.test�"


def test_a_provider_without_device_flow_is_told_at_once() -> None:
    known = [view("iam", device=True), view("old", device=False)]

    assert [no_device_flow(known, one) for one in ("iam", "", "unknown")] == ["", "", ""]
    for some, chosen in ((known, "old"), (known[1:], "")):
        assert no_device_flow(some, chosen).startswith("old has no device flow")


def test_a_browser_is_not_opened_for_an_unknown_provider() -> None:
    known = [view("iam", device=True), view("old", device=False)]

    assert no_such_provider(known, "iam") == no_such_provider(known[1:], "") == ""
    assert no_such_provider(known, "institute").endswith("'institute'; there are: iam, old")
    assert "choose one with --provider" in no_such_provider(known, "")
    assert "no identity provider" in no_such_provider([], "")


@pytest.mark.parametrize(("said", "paused"), [(-1.0, 0.1), (0.0, 0.1), (5.0, 5.0), (1e300, 60.0)])
def test_the_pause_between_polls_is_bounded(said: float, paused: float) -> None:
    assert pause_between_polls_s(said) == paused


@pytest.mark.parametrize(
    ("code", "said"),
    [("", "logged out from"), ("bad_token", "no longer knows"), ("expired_token", "no longer")],
)
async def test_a_logout_succeeds_if_the_central_no_longer_knows_the_login(
    code: str, said: str
) -> None:
    central = StubCentral()
    central.always["POST /v1/login/end"] = problem(401, code, "not valid") if code else ok({})
    login = CentralLogin("http://central.test", "")
    transport = Transport(login, pace=central.pace, patience_s=0.0, http=central)

    assert said in await end_session(transport, "ps1.s:secret")


def test_a_browser_in_the_foreground_does_not_stop_the_login(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened, ends = threading.Event(), threading.Event()

    def browse(_: str) -> bool:
        opened.set()
        return ends.wait(10.0)

    monkeypatch.setattr(webbrowser, "open", browse)
    open_browser("https://central.test/auth/start")

    assert opened.wait(10.0) and not ends.is_set()
    ends.set()


@pytest.mark.parametrize(("role", "groups"), [(Role.MANAGER, "all"), (Role.USER, "none")])
def test_a_manager_without_groups_has_all(role: Role, groups: str) -> None:
    tokens = LoginTokens(
        token="t",
        expires_in_s=1.0,
        renewal="r",
        session="s",
        session_ends_at="",
        provider="iam",
        subject="ada",
        name="Ada",
        community="ctao",
        groups=(),
        role=role,
    )

    assert login_words("https://central.test", tokens).endswith(f"groups {groups}")


class Central:
    """Its caller manages a community without groups of its own."""

    url = "https://central.test"

    async def whoami(self) -> WhoAmI:
        return WhoAmI(
            subject="ada",
            issuer="https://iam.test/",
            name="Ada",
            community="ctao",
            groups=(),
            role=Role.MANAGER,
            expires_in_s=60.0,
        )


def test_whoami_says_that_a_manager_without_groups_has_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(Central(), monkeypatch)
    assert run(["whoami"]) == 0

    assert "community ctao, groups all\n" in capsys.readouterr().out
