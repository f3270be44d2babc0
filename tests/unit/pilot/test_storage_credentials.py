"""Credentials of attempts for storages, and the tries of uploads with them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pilotage.pilot.data.credentials import CentralAway, StorageCredentials
from pilotage.pilot.data.files import DataFiles, StoredOutputs
from pilotage.pilot.data.stage_in import NotSent
from pilotage.pilot.data.storages import (
    CopyChecksums,
    CopyLocation,
    Credential,
    CredentialRejected,
    StorageUnavailable,
)
from pilotage.pilot.mind.pace import FailedRequest
from pilotage.pilot.talk.conversation import may_pass
from pilotage.proto.messages import Assignment, Body, Grant
from pilotage.proto.storages import (
    TOKEN_PATHS_MAX,
    Copy,
    DataBody,
    DataFile,
    DataRule,
    Leftover,
    SignedUrl,
    StorageAccess,
    StorageOptions,
    StorageTokenReply,
    StorageTokenRequest,
    try_path,
)
from tests.fake_pilot import FakeRandomness

from .test_data import FakeStorage, JumpingClock, sums

LIFE_S = 3_600.0
NEEDS = StorageOptions(needs_credential=True)
SIGNED = StorageOptions(needs_credential=True, signed_urls=True)
FOLDER = "local/7/2"


class Central:
    """Gives credentials, numbered, and notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[StorageTokenRequest] = []
        self.failure: FailedRequest | None = None
        self.signs = False

    async def ask(
        self, request: StorageTokenRequest, token: str
    ) -> StorageTokenReply | FailedRequest:
        assert token == "of the attempt"
        self.asked.append(request)
        if self.failure is not None:
            return self.failure
        if self.signs:
            urls = tuple(SignedUrl(path, "PUT", f"https://{path}") for path in request.paths)
            return StorageTokenReply(LIFE_S, urls=urls)
        return StorageTokenReply(LIFE_S, token=f"token {len(self.asked)}")


class Rig:
    """A pilot whose storages need credentials."""

    def __init__(self, folder: Path) -> None:
        self.central, self.clock, self.folder = Central(), JumpingClock(), folder
        self.credentials = StorageCredentials(self.central.ask, self.clock, may_pass)
        self.storage = TokenStorage()
        (folder / "work").mkdir()
        self.data = DataFiles(
            {"fake": self.storage},
            self.clock,
            FakeRandomness(),
            lambda *_: None,
            credentials=self.credentials,
        )

    def assignment(self, data: DataBody) -> Assignment:
        grant = Grant(1, 1, 1.0, 1)
        return Assignment(7, 2, 70, 120.0, "of the attempt", grant, Body(("true",)), data=data)

    def reading(self, *paths: str) -> Assignment:
        files = tuple(
            DataFile(path, path, 1, "", "", copies=(Copy("pic", "fake", "fake://A", path),))
            for path in paths
        )
        return self.assignment(DataBody(FOLDER, inputs=files))

    def stored(
        self, *names: str, options: StorageOptions = NEEDS, on: Sequence[str] = ("pic",)
    ) -> StoredOutputs:
        for name in names:
            target = self.folder / "work" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(name)
        accesses = tuple(StorageAccess(name, "fake", f"fake://{name}", options) for name in on)
        data = DataBody(FOLDER, outputs=(DataRule("**", accesses),))
        return asyncio.run(self.data.store(self.assignment(data), self.folder))


class TokenStorage(FakeStorage):
    """Rejects the credentials in `bad`, and is away for the paths in `away`."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: set[str] = set()
        self.away: set[str] = set()
        self.seen: list[Credential] = []

    def put(self, source: Path, place: CopyLocation, *, go_on: Callable[[], None]) -> CopyChecksums:
        assert place.credential is not None
        self.seen.append(place.credential)
        if place.credential.token in self.bad:
            raise CredentialRejected("HTTP 401")
        if place.path in self.away:
            raise StorageUnavailable("the connection broke")
        assert all(known.path != place.path for known in self.files), "it replaces nothing"
        self.files[replace(place, credential=None)] = source.read_bytes()
        return sums(source.read_bytes())


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_one_credential_reads_all_inputs_on_a_storage_until_it_is_old(rig: Rig) -> None:
    job = rig.reading("a", "b")

    async def tokens() -> list[str]:
        found: list[str] = []
        for path, wait_s in (("a", 0.0), ("b", 0.0), ("b", 0.7 * LIFE_S), ("a", 0.1 * LIFE_S)):
            rig.clock.jump(wait_s)
            found.append((await rig.credentials.reading(job, "pic", path)).token)
        return found

    assert asyncio.run(tokens()) == ["token 1", "token 1", "token 1", "token 2"]
    assert rig.central.asked[0].paths == ("a", "b")
    assert set(rig.credentials.secrets()) == {"token 2"}
    rig.credentials.forget(70)
    assert list(rig.credentials.secrets()) == []


def test_many_inputs_take_several_credentials(rig: Rig) -> None:
    names = [f"f{number:04}" for number in range(TOKEN_PATHS_MAX + 1)]
    job = rig.reading(*names)
    asyncio.run(rig.credentials.reading(job, "pic", names[-1]))

    assert rig.central.asked[0].paths == (names[-1],)


@pytest.mark.parametrize(
    ("status", "error"), [(503, CentralAway), (0, CentralAway), (403, NotSent), (409, NotSent)]
)
def test_without_a_credential_nothing_is_sent(
    status: int, error: type[Exception], rig: Rig
) -> None:
    rig.central.failure = FailedRequest(status, "x", "no key today")
    with pytest.raises(error, match="no key today"):
        asyncio.run(rig.credentials.reading(rig.reading("a"), "pic", "a"))

    stored = rig.stored("out.h5")
    assert stored.failure and not rig.storage.seen and not stored.leftovers


def test_a_rejected_credential_is_replaced_once(rig: Rig) -> None:
    rig.storage.bad = {"token 1"}
    stored = rig.stored("out.h5")
    assert [one.path for one in stored.published] == [f"{FOLDER}/out.h5"]
    assert len(rig.central.asked) == 2 and stored.leftovers == ()

    rig.storage.bad = {f"token {number}" for number in range(9)}
    stored = rig.stored("more.h5")
    assert "also with a new credential" in stored.failure


def test_each_try_has_a_path_of_its_own_and_the_failed_ones_are_named(rig: Rig) -> None:
    rig.storage.away = {f"{FOLDER}/out.h5", f"{FOLDER}/~2/out.h5"}
    stored = rig.stored("out.h5", "~2/out.h5")

    assert {one.name: one.path for one in stored.published} == {
        "out.h5": f"{FOLDER}/~3/out.h5",
        "~2/out.h5": f"{FOLDER}/~1/~2/out.h5",
    }
    assert set(stored.leftovers) == {
        Leftover("pic", f"{FOLDER}/out.h5"),
        Leftover("pic", f"{FOLDER}/~2/out.h5"),
    }


def test_another_storage_does_not_get_the_path_of_what_a_failed_try_left(rig: Rig) -> None:
    """A path that a file has on any storage is swept on none."""
    rig.storage.away = {f"{FOLDER}/out.h5"}
    stored = rig.stored("out.h5", on=("pic", "lst"))

    (one,) = stored.published
    assert (one.storage, one.path) == ("lst", f"{FOLDER}/~2/out.h5")
    assert stored.leftovers == (Leftover("pic", f"{FOLDER}/out.h5"),)


def test_no_two_files_and_tries_share_a_path() -> None:
    names = ["a", "~1/a", "~2/a", "~1/~2/a", "~a", "x/~2/a"]
    paths = [try_path("f", name, number) for name in names for number in range(1, 99)]

    assert len(set(paths)) == len(paths)


def test_a_signed_url_is_for_one_file(rig: Rig) -> None:
    rig.central.signs = True
    stored = rig.stored("one", "two", options=SIGNED)

    assert len(stored.published) == len(rig.central.asked) == 2
    assert all(len(one.sha256) == 64 for one in rig.central.asked)
    assert all("https" not in repr(one) for one in rig.storage.seen)
