"""`pilotage storage check NAME`: what it tries, and what it says of wide storages."""

from collections.abc import Mapping

import pytest

from pilotage.central.catalogue.remote.storage_checks import StorageChecks
from pilotage.central.catalogue.remote.storage_http import StorageAnswer
from pilotage.central.catalogue.storages import (
    StorageBook,
    StorageCredential,
    StorageEntry,
    Storages,
)
from pilotage.central.errors import Refused
from pilotage.central.identity.callers import User
from pilotage.proto.api.storages import StorageCheck
from pilotage.proto.claims import Role
from tests.fake_central import FakeRandomness
from tests.fake_storage_server import FakeStorageNetwork, FakeStorageServer, fake_remote

OSCAR = User(
    issuer="here",
    subject="oscar",
    name="",
    community="ctao",
    groups=(),
    role=Role.OPERATOR,
    expires_at=1e12,
    jti="",
)


class StrictNetwork(FakeStorageNetwork):
    """Servers that look at scopes, or at none of some kind."""

    def __init__(self, server: FakeStorageServer, allows: str = "") -> None:
        super().__init__(server)
        self.allows = allows

    async def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        ca_file: str = "",
        body: bytes = b"",
        silent_s: float = 60.0,
        whole_s: float = 600.0,
    ) -> StorageAnswer:
        server, path = self._at(url)
        token = headers.get("authorization", "")
        scopes = token.partition("|")[2].split()
        need = {"PUT": "create", "GET": "read", "DELETE": "modify"}.get(method, "")
        may = not need or any(
            scope.startswith(f"storage.{need}:")
            and f"{path}/".startswith(scope.partition(":")[2] + "/")
            for scope in scopes
        )
        if method == "PUT" and may and path in server.files:
            may = self.allows == "replace"
        if self.allows == need or (self.allows == "everybody" and method == "GET"):
            may = True
        if not may:
            return StorageAnswer(403, {}, f"no {token[:20]}".encode())
        return await super().ask(method, url, headers=headers, body=body)


def service(allows: str = "", **entry: object) -> tuple[StorageChecks, FakeStorageServer]:
    server = FakeStorageServer("pic.test")
    storages = Storages()
    fields: dict[str, object] = {
        "type": "davs",
        "url": "https://pic.test/data",
        "prefix": "/data",
        "credential": StorageCredential(source="issuer"),
        "checksum": "adler32",
        **entry,
    }
    book = StorageBook(storages={"pic": StorageEntry(**fields)})  # type: ignore[arg-type]
    storages.book = book
    remote = fake_remote(StrictNetwork(server, allows))
    return StorageChecks(storages, remote, FakeRandomness()), server


def faults(found: StorageCheck) -> list[str]:
    return [step.what for step in found.steps if not step.ok]


async def test_a_good_storage_passes_and_nothing_stays() -> None:
    checks, server = service()
    found = await checks.check(OSCAR, "pic")

    assert found.ok and len(found.steps) == 9
    assert server.files == {}


@pytest.mark.parametrize(
    ("allows", "fault"),
    [
        ("replace", "refuse to replace it with a job's token"),
        ("create", "refuse to store in another job's folder"),
        ("modify", "refuse to remove it with a job's token"),
        ("read", "refuse to read it with a token for another file"),
        ("everybody", "refuse to read it without a token"),
    ],
)
async def test_a_storage_that_allows_too_much_is_named(allows: str, fault: str) -> None:
    checks, _ = service(allows)
    found = await checks.check(OSCAR, "pic")

    assert not found.ok and fault in faults(found)


async def test_a_wrong_checksum_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    checks, server = service()
    monkeypatch.setattr(server, "lies", True)
    found = await checks.check(OSCAR, "pic")

    assert faults(found) == ["confirm size and checksum"]


async def test_a_storage_that_is_away_ends_the_check() -> None:
    checks, server = service()
    server.is_away = True
    found = await checks.check(OSCAR, "pic")

    assert [(step.what, step.ok) for step in found.steps] == [("store a file", False)]


@pytest.mark.parametrize(("name", "field"), [("no", "storage"), ("pic", "storage")])
async def test_what_cannot_be_checked_is_refused(name: str, field: str) -> None:
    checks, _ = service(type="http", credential=None)
    with pytest.raises(Refused) as why:
        await checks.check(OSCAR, name)

    assert why.value.field == field
    assert name == "no" or "pilotage data put --storage pic" in str(why.value)
