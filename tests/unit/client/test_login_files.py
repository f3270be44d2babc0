"""Files of logins on a machine with other users, pipes, links and a full disk."""

import asyncio
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pilotage.central.client.credentials import find_connection, login_file, read_credentials
from pilotage.central.client.errors import (
    ClientError,
    UnreadableCredentials,
    UnsafeLogins,
)
from pilotage.central.client.logins.login_files import LoginKeeper, forget_login, save_login
from pilotage.proto.api.logins import LoginTokens, Renewal
from pilotage.proto.claims import Role

URL = "https://central.example.org"


def tokens(token: str = "t1", expires_in_s: float = 1_800.0) -> LoginTokens:
    return LoginTokens(
        token=token,
        expires_in_s=expires_in_s,
        renewal=f"renewal-{token}",
        session="s1",
        session_ends_at="",
        subject="alice",
        name="Alice",
        community="ctao",
        groups=(),
        role=Role.USER,
        provider="iam",
    )


class Home:
    def __init__(self, path: Path) -> None:
        self.environment = {"HOME": str(path)}
        self.file = login_file(self.environment, URL)
        self.folder = self.file.parent
        self.lock = self.file.with_suffix(".lock")

    def save(self, token: str = "t1", expires_in_s: float = 1_800.0) -> None:
        asyncio.run(save_login(self.environment, URL, tokens(token, expires_in_s)))

    def forget(self) -> None:
        asyncio.run(forget_login(self.environment, URL))

    def token(self) -> str:
        return find_connection(self.environment, url=URL).token


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def modes(*paths: Path) -> list[str]:
    return [f"{path.stat().st_mode & 0o7777:04o}" for path in paths]


def test_a_login_is_for_its_owner_only_whatever_the_umask_is(home: Home) -> None:
    before = os.umask(0)
    try:
        home.save()
    finally:
        os.umask(before)

    assert modes(home.folder.parent, home.folder) == ["0700", "0700"]
    assert modes(home.file, home.lock, home.folder / "latest") == ["0600"] * 3


@pytest.mark.parametrize("name", ["file", "latest"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_a_pipe_in_the_place_of_a_file_is_refused_at_once(home: Home, name: str, kind: str) -> None:
    home.save()
    path = home.file if name == "file" else home.folder / "latest"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "folder":
        path.mkdir(mode=0o700)
    else:
        path.symlink_to("/dev/zero")

    with pytest.raises(ClientError, match="not a regular file|Is a directory") as caught:
        home.token()

    assert str(path) in str(caught.value)


def test_a_new_login_replaces_a_pipe_and_a_link(home: Home, tmp_path: Path) -> None:
    home.save()
    other = tmp_path / "other"
    other.write_text("precious")
    other.chmod(0o600)
    home.file.unlink()
    home.file.symlink_to(other)
    (home.folder / "latest").unlink()
    os.mkfifo(home.folder / "latest", 0o600)

    home.save("t2")

    assert home.token() == "t2"
    assert other.read_text() == "precious"
    assert (home.folder / "latest").read_text() == URL + "\n"


def test_another_name_of_the_file_keeps_the_earlier_login(home: Home, tmp_path: Path) -> None:
    home.save("t1")
    os.link(home.file, tmp_path / "copy")

    home.save("t2")

    assert read_credentials(tmp_path / "copy").token == "t1"
    assert home.token() == "t2"


@pytest.mark.parametrize(
    ("kind", "said"), [("link", "it is a link: remove it"), ("pipe", "it is not a regular file")]
)
def test_a_lock_is_a_file_of_its_own(home: Home, tmp_path: Path, kind: str, said: str) -> None:
    home.save()
    home.lock.unlink()
    if kind == "link":
        home.lock.symlink_to(tmp_path / "made")
    else:
        os.mkfifo(home.lock)

    acts: list[Callable[[], object]] = [lambda: home.save("t2"), home.forget]
    for act in acts:
        with pytest.raises(UnreadableCredentials, match=said) as caught:
            act()
        assert str(home.lock) in str(caught.value)
    assert not (tmp_path / "made").exists()
    assert home.token() == "t1"


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o720])
def test_a_folder_that_others_can_write_is_refused(home: Home, mode: int) -> None:
    home.save()
    home.folder.chmod(mode)

    acts: list[Callable[[], object]] = [home.token, home.forget, home.save]
    for act in acts:
        with pytest.raises(UnsafeLogins, match=f"has mode {mode:04o}.*chmod go-w {home.folder}"):
            act()


#: the mode of the folder of the settings, and whether logins in it are used
PARENTS = [(0o755, True), (0o775, True), (0o1777, True), (0o777, False), (0o707, False)]


@pytest.mark.parametrize(("mode", "is_taken"), PARENTS)
def test_nobody_else_can_rename_the_folder(home: Home, mode: int, is_taken: bool) -> None:
    home.save()
    home.folder.parent.chmod(mode)

    if is_taken:
        assert home.token() == "t1"
    else:
        with pytest.raises(UnsafeLogins, match=f"{home.folder.parent} has mode"):
            home.token()


def test_a_folder_of_another_user_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.save()
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    if mine == 0:  # folders of root are fine for everybody
        os.chown(home.folder, 12_345, -1)

    with pytest.raises(UnsafeLogins, match="belongs to the user with id"):
        home.token()


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process grow beyond 10 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_earlier_login_whole(home: Home) -> None:
    home.save("t1")
    names = sorted(os.listdir(home.folder))

    with full_disk(), pytest.raises(UnreadableCredentials, match="cannot be kept here"):
        home.save("t2")

    assert home.token() == "t1"
    assert sorted(os.listdir(home.folder)) == names


def test_no_renewal_is_sent_if_its_nonce_cannot_be_kept(home: Home) -> None:
    home.save("t1", expires_in_s=0.0)
    sent: list[Renewal] = []

    async def renew(renewal: Renewal) -> LoginTokens:
        sent.append(renewal)
        return tokens("t2")

    with full_disk(), pytest.raises(UnreadableCredentials, match="cannot be kept here"):
        asyncio.run(LoginKeeper(home.file, renew).token())
    assert sent == []

    assert asyncio.run(LoginKeeper(home.file, renew).token()) == "t2"
    assert [(one.renewal, len(one.nonce) > 20) for one in sent] == [("renewal-t1", True)]


def test_a_token_may_come_from_a_pipe_that_the_user_names() -> None:
    read, write = os.pipe()
    os.write(write, b"fresh\n")
    os.close(write)
    try:
        environment = {"HOME": "/nonexistent", "PILOTAGE_TOKEN_FILE": f"/dev/fd/{read}"}
        assert find_connection(environment, url=URL).token == "fresh"
    finally:
        os.close(read)
