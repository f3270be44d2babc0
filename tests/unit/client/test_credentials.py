"""Where the central is and which token goes to it."""

import json
import os
from pathlib import Path

import pytest

from pilotage.central.client.credentials import find_connection, other_logins
from pilotage.central.client.errors import (
    NoCentral,
    NoneRuns,
    UnreadableCredentials,
    UnsafeCredentials,
)

REMOTE = "https://central.example.org"
LOCAL = "http://127.0.0.1:8123"


class Home:
    """A home directory and the environment that points to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path / ".local/share/pilotage"
        self.environment = {"HOME": str(path)}

    def keep(self, url: str, token: str, mode: int = 0o600) -> Path:
        return self.write(
            ".config/pilotage/credentials.json", json.dumps({"url": url, "token": token}), mode
        )

    def run_central(self, *, pid: int | None = None, mode: int = 0o600) -> None:
        running = {"url": LOCAL, "pid": os.getpid() if pid is None else pid}
        self.write(".local/share/pilotage/central.json", json.dumps(running), 0o644)
        self.write(".local/share/pilotage/admin.token", "admin\n", mode)

    def write(self, name: str, text: str, mode: int) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def found(home: Home, **arguments: str) -> tuple[str, str]:
    connection = find_connection(home.environment, **arguments)  # type: ignore[arg-type]
    return connection.url, connection.token


def test_the_central_on_this_machine_is_found_with_its_admin_token(home: Home) -> None:
    home.run_central()

    assert found(home) == (LOCAL, "admin")


def test_arguments_win_over_everything(home: Home) -> None:
    home.run_central()
    home.keep(REMOTE, "kept")

    assert found(home, url="http://other:1", token="given") == ("http://other:1", "given")


def test_kept_credentials_win_over_the_local_central(home: Home) -> None:
    home.run_central()
    home.keep(REMOTE, "kept")

    assert found(home) == (REMOTE, "kept")


def test_a_token_goes_only_to_the_central_that_it_was_kept_for(home: Home) -> None:
    home.run_central()
    home.keep(REMOTE, "kept")

    assert found(home, url="https://elsewhere.example.org") == ("https://elsewhere.example.org", "")
    assert found(home, url=LOCAL) == (LOCAL, "admin")
    assert found(home, url=REMOTE + ":443/") == (REMOTE + ":443", "kept")


def test_localhost_is_the_address_that_the_token_was_kept_for(home: Home) -> None:
    home.run_central()

    assert found(home, url="http://localhost:8123") == (LOCAL, "admin")
    assert found(home, url="http://localhost:8124") == ("http://localhost:8124", "")
    assert found(home, url="http://[::1]:8123") == ("http://[::1]:8123", "")
    home.keep("http://localhost:9000", "kept")
    assert found(home, url="http://127.0.0.1:9000") == ("http://localhost:9000", "kept")
    assert found(home, url="http://localhost.example.org:9000")[1] == ""


def test_a_named_data_directory_wins_over_the_environment(home: Home) -> None:
    home.run_central()
    home.keep(REMOTE, "kept")
    home.environment["PILOTAGE_URL"] = REMOTE
    connection = find_connection(home.environment, data=home.data)

    assert (connection.url, connection.token) == (LOCAL, "admin")


def test_a_data_directory_in_the_environment_wins_over_kept_credentials(home: Home) -> None:
    home.run_central()
    home.keep(REMOTE, "kept")
    home.environment["PILOTAGE_DATA"] = str(home.data)

    assert found(home) == (LOCAL, "admin")
    home.keep(LOCAL, "hers")
    assert found(home) == (LOCAL, "hers")
    home.environment["PILOTAGE_URL"] = REMOTE
    assert found(home) == (REMOTE, "")


def test_an_idle_data_directory_in_the_environment_says_what_it_hides(home: Home) -> None:
    home.keep(REMOTE, "kept")
    home.environment["PILOTAGE_DATA"] = str(home.data)

    with pytest.raises(NoneRuns, match=f"or unset PILOTAGE_DATA to use {REMOTE}$"):
        found(home)


def test_a_token_file_that_the_environment_names_is_read(home: Home) -> None:
    home.environment["PILOTAGE_URL"] = REMOTE
    home.environment["PILOTAGE_TOKEN_FILE"] = str(home.write("token", "from-file\n", 0o400))

    assert found(home) == (REMOTE, "from-file")


def test_a_named_token_file_may_be_one_that_token_issue_has_saved(home: Home) -> None:
    saved = home.write("ada.json", f'{{"url": "{REMOTE}", "token": "hers"}}', 0o600)
    home.environment["PILOTAGE_TOKEN_FILE"] = str(saved)
    home.environment["PILOTAGE_URL"] = REMOTE

    assert found(home) == (REMOTE, "hers")
    home.environment["PILOTAGE_URL"] = LOCAL
    with pytest.raises(UnreadableCredentials, match=f"its token is for {REMOTE}, not"):
        found(home)
    saved.write_text(f'{{"url": "{LOCAL}"}}')
    with pytest.raises(UnreadableCredentials, match="`token` is missing"):
        found(home)


@pytest.mark.parametrize("content", [b"ey.secret\nmore", b"\xff\xfe\x00", "tökén".encode(), b""])
def test_a_file_without_a_token_is_refused_and_never_shown(home: Home, content: bytes) -> None:
    named = home.write("token", "", 0o600)
    named.write_bytes(content)
    home.environment["PILOTAGE_TOKEN_FILE"] = str(named)
    home.environment["PILOTAGE_URL"] = REMOTE

    with pytest.raises(UnreadableCredentials, match="it has no token") as refused:
        found(home)
    assert "secret" not in str(refused.value)


def test_a_folder_for_a_token_is_refused(home: Home) -> None:
    (home.data / "folder").mkdir(mode=0o700, parents=True)
    home.environment["PILOTAGE_TOKEN_FILE"] = str(home.data / "folder")
    home.environment["PILOTAGE_URL"] = REMOTE

    with pytest.raises(UnreadableCredentials, match="directory"):
        found(home)


@pytest.mark.parametrize("url", ["http://127.0.0.1:abc", "http://127.0.0.1:99999", "http://[::1"])
def test_what_is_no_url_is_refused(home: Home, url: str) -> None:
    home.environment["PILOTAGE_URL"] = url
    with pytest.raises(NoCentral, match="is not the URL of a central"):
        found(home)

    del home.environment["PILOTAGE_URL"]
    home.keep(url, "kept", 0o600)
    with pytest.raises(UnreadableCredentials, match="is not the URL of a central"):
        found(home)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604])
def test_a_token_that_others_can_read_is_refused(home: Home, mode: int) -> None:
    home.keep(REMOTE, "kept", mode)

    with pytest.raises(UnsafeCredentials, match="chmod 600"):
        found(home)


def test_an_admin_token_that_others_can_read_is_refused(home: Home) -> None:
    home.run_central(mode=0o644)

    with pytest.raises(UnsafeCredentials, match="admin.token"):
        found(home)


def test_a_central_whose_process_is_gone_does_not_get_the_token(home: Home) -> None:
    home.run_central(pid=2**22 + 1)

    with pytest.raises(NoCentral, match="pilotage serve.*`pilotage login URL`"):
        found(home)


@pytest.mark.parametrize("text", ["{", '{"tokn": "x"}', '{"token": "x"}', "[]"])
def test_credentials_that_are_not_what_they_should_be_are_named(home: Home, text: str) -> None:
    home.write(".config/pilotage/credentials.json", text, 0o600)

    with pytest.raises(UnreadableCredentials, match="credentials.json"):
        found(home)


@pytest.mark.parametrize("url", ["central.example.org", "ftp://x", "http://"])
def test_a_url_that_is_none_is_refused(home: Home, url: str) -> None:
    with pytest.raises(NoCentral, match="not the URL"):
        found(home, url=url)


def test_no_message_holds_a_token(home: Home) -> None:
    home.write(".config/pilotage/credentials.json", '{"token": "s3cret", "url": 5}', 0o600)

    with pytest.raises(UnreadableCredentials) as caught:
        found(home)

    assert "s3cret" not in str(caught.value)


LOGIN = ".config/pilotage/centrals/central.example.org_443.json"


def test_a_login_gives_its_token_to_its_own_central_only(home: Home) -> None:
    home.write(LOGIN, json.dumps({"url": REMOTE, "token": "mine"}), 0o600)

    assert find_connection(home.environment, url=REMOTE).login is not None
    plain = find_connection(home.environment, url="http://central.example.org:443")
    assert (plain.token, plain.login) == ("", None)


@pytest.mark.parametrize("content", ["http://[::1", "http://a:99999", "no address", "\x00"])
def test_garbage_about_the_last_login_is_no_central(home: Home, content: str) -> None:
    home.write(".config/pilotage/centrals/latest", content, 0o600)

    assert found(home, url=REMOTE) == (REMOTE, "")


def test_the_last_login_comes_before_the_file_of_an_operator(home: Home) -> None:
    home.keep("https://other.example.org", "theirs")
    home.write(".config/pilotage/centrals/latest", REMOTE + "\n", 0o600)
    home.write(LOGIN, json.dumps({"url": REMOTE, "token": "mine"}), 0o600)

    assert found(home) == (REMOTE, "mine")
    assert found(home, url="https://other.example.org") == ("https://other.example.org", "theirs")


OTHER_LOGIN = ".config/pilotage/centrals/other.example.org_443.json"


def refused(home: Home, **arguments: str) -> str:
    with pytest.raises(NoneRuns) as caught:
        found(home, **arguments)
    return str(caught.value)


def test_after_a_logout_the_message_says_how_to_log_in_again(home: Home) -> None:
    home.write(".config/pilotage/centrals/latest", REMOTE + "\n", 0o600)

    assert refused(home).startswith(
        f"you have logged out from {REMOTE}: `pilotage login {REMOTE}` logs in again; no central"
    )
    home.environment["PILOTAGE_DATA"] = str(home.data)
    assert "logged out" not in refused(home)


def test_after_a_logout_the_message_names_the_other_logins(home: Home) -> None:
    other = "https://other.example.org"
    home.write(".config/pilotage/centrals/latest", REMOTE + "\n", 0o600)
    home.write(OTHER_LOGIN, json.dumps({"url": other, "token": "mine"}), 0o600)

    assert refused(home).startswith(f"you are logged in at {other}: choose it with --url; no ")
    assert other_logins(home.environment, other) == ""


def test_after_a_logout_the_local_central_is_used(home: Home) -> None:
    home.write(".config/pilotage/centrals/latest", REMOTE + "\n", 0o600)
    home.run_central()

    assert found(home) == (LOCAL, "admin")
