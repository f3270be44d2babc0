"""What doctor says of a machine, its keys and its store: values in, findings out."""

import base64
import json
import os
import sqlite3
import time
from functools import partial
from pathlib import Path

import pytest

from pilotage.central.operate.datadir import (
    COPIED_FILE,
    CentralProcess,
    StoreGone,
    announce,
    check_whole,
    locked,
    withdraw,
)
from pilotage.central.operate.doctor import key_checks, machine_checks, store_checks
from pilotage.central.operate.doctor.examination import OURS, examine
from pilotage.central.operate.doctor.findings import Finding, Severity, at_fault, fault, ok, warning
from pilotage.central.operate.serve import ServeOptions, as_it_runs
from pilotage.central.settings import CommunitySettings, HttpSettings, Settings
from pilotage.central.store.sqlite import check, durable, open_sqlite, store
from pilotage.central.store.sqlite.check import reading

OK, WARNING, FAULT = Severity.OK, Severity.WARNING, Severity.FAULT

MOUNTS = """
/dev/sda1 / ext4 rw 0 0
server:/export /srv nfs4 rw 0 0
/dev/sdb1 /srv/local\\040disk xfs rw 0 0
tmpfs /tmp tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/pilotage", "ext4"),
        ("/srv/pilotage", "nfs4"),
        ("/srv/local disk/pilotage", "xfs"),
        ("/tmpfile", "ext4"),
        ("/tmp", "tmpfs"),
    ],
)
def test_the_file_system_of_a_path_is_the_innermost_mount(path: str, kind: str) -> None:
    assert machine_checks.file_system(Path(path), MOUNTS.strip()) == kind


@pytest.mark.parametrize(
    ("newest", "skew_s", "level"),
    [
        (0.0, None, OK),
        (0.0, 0.4, OK),
        (0.0, -5.0, WARNING),
        (0.0, 90.0, FAULT),
        (3_000.0, None, FAULT),
    ],
)
def test_the_clock_is_judged_by_the_store_and_by_others(
    newest: float, skew_s: float | None, level: Severity
) -> None:
    found = machine_checks.clock(time.time() + newest - 1, skew_s)

    assert found.level in ({level, WARNING} if level is OK else {level})  # no time service here
    assert bool(found.do) == (found.level is not OK)


def test_open_files_are_judged_by_the_connections_that_are_allowed() -> None:
    few = machine_checks.open_files(4_096, 8_192, unlimited=False)

    assert few.level is WARNING
    assert "LimitNOFILE=9216" in few.do
    assert machine_checks.open_files(9_216, 8_192, unlimited=False).level is OK
    assert machine_checks.open_files(-1, 8_192, unlimited=True).level is OK


def test_another_version_than_the_installed_one_runs_on_until_a_restart() -> None:
    assert machine_checks.versions("0.0.1").level is WARNING
    assert machine_checks.versions(None).level is OK


def test_a_data_directory_that_others_may_enter_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert machine_checks.data_directory(tmp_path).level is WARNING
    assert machine_checks.data_directory(tmp_path / "none").level is FAULT


def test_a_sync_is_measured_and_leaves_nothing_behind(tmp_path: Path) -> None:
    found = machine_checks.sync_cost(tmp_path)

    assert found.level in (OK, WARNING)
    assert "ms" in found.said
    assert list(tmp_path.iterdir()) == []


def test_durability_is_proved_where_the_store_lies(tmp_path: Path) -> None:
    assert store_checks.durability(tmp_path).level is OK
    assert list(tmp_path.iterdir()) == []


def test_durability_is_that_of_the_connection_that_the_central_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A central that asked for less, and did not look, would not pass for a durable one."""

    def careless(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute("PRAGMA synchronous=NORMAL").fetchall()

    assert vars(store)["prepare"] is durable.prepare, "the central opens it in another way"
    monkeypatch.setattr(durable, "prepare", careless)
    found = store_checks.durability(tmp_path)

    assert found.level is FAULT
    assert "synchronous=1" in found.said


def test_a_file_that_is_no_store_is_a_fault(tmp_path: Path) -> None:
    assert store_checks.store_file(tmp_path, whole=False).level is WARNING
    (tmp_path / "store.sqlite").write_bytes(b"this is no database" * 1_000)

    found = store_checks.store_file(tmp_path, whole=True)

    assert found.level is FAULT
    assert str(tmp_path / "store.sqlite") in found.said
    assert store_checks.facts_of(partial(reading, tmp_path / "store.sqlite")) is None


async def test_damage_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.sqlite"
    made = await open_sqlite(path, clock_wall=lambda: 1.0, fatal=pytest.fail)
    await made.close()

    def seven_lines(*_: object, **__: object) -> list[str]:
        return ["Tree 1:\nPage 2: bad\n" * 100]

    monkeypatch.setattr(check, "damage", seven_lines)
    found = store_checks.store_file(tmp_path, whole=True)

    assert found.level is FAULT
    assert "damaged: Tree 1: Page 2: bad" in found.said
    assert "\n" not in found.said
    assert len(found.said) < 400


# -- owner and place ----------------------------------------------------------------------------


def test_a_folder_with_files_of_others_is_no_data_directory(tmp_path: Path) -> None:
    empty = examine(ServeOptions(data=tmp_path))
    (tmp_path / "holiday.jpg").touch()
    found = examine(ServeOptions(data=tmp_path))

    assert "not a data directory: it is empty" in empty[-1].said
    assert "not a data directory: it contains only other files" in found[-1].said
    assert at_fault(empty) and at_fault(found)
    assert "chmod" not in " ".join(one.do for one in found)
    (tmp_path / "lock").touch()
    assert not machine_checks.foreign(tmp_path, OURS)


@pytest.mark.parametrize(
    ("database", "copied", "said", "do"),
    [
        (True, False, "its store is in a database", "or by the settings in --config"),
        (False, True, "store.sqlite was copied to a database", "name it by --set store.url=…"),
        (False, False, "store.sqlite is missing", "is its store in a database? Then name it"),
    ],
)
def test_a_store_that_is_in_a_database_is_none_that_is_gone(
    tmp_path: Path, database: bool, copied: bool, said: str, do: str
) -> None:
    data = tmp_path / "data"
    for _ in range(2):
        with locked(data, shared=database):
            (data / "signing-keys.json").write_text("{}")
            (data / "high-water.json").write_text("{}")  # of a store in a file too
    if copied:
        (data / COPIED_FILE).touch()
    found = examine(ServeOptions(data=data))
    (about,) = [one for one in found if "store.sqlite" in one.said]

    assert (about.check, about.level) == ("data", FAULT)
    assert said in about.said and do in about.do
    assert ("restore a backup" in about.do) is not (database or copied)
    assert "store" not in {one.check for one in found}  # no start makes one
    with pytest.raises(StoreGone, match="nothing was started"):
        check_whole(data, used=data / "signing-keys.json")


def test_the_settings_are_those_that_the_central_runs_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PILOTAGE_CONFIG", raising=False)
    config = tmp_path / "elsewhere.yaml"
    announce(tmp_path, CentralProcess(url="http://127.0.0.1:1", pid=1, config=str(config)))

    assert as_it_runs(ServeOptions(data=tmp_path)).config == config
    assert as_it_runs(ServeOptions(data=tmp_path, config=tmp_path / "x")).config == tmp_path / "x"
    withdraw(tmp_path, 1)
    assert as_it_runs(ServeOptions(data=tmp_path)).config is None


def test_files_of_another_user_than_the_folder_are_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lock").touch()
    real = Path.stat

    def stat(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = real(self, follow_symlinks=follow_symlinks)
        if self != tmp_path:
            return found
        return os.stat_result((*found[:4], 4_000_000, *found[5:]))

    mine = machine_checks.owner(tmp_path, OURS, running=True)
    monkeypatch.setattr(Path, "stat", stat)
    found = machine_checks.owner(tmp_path, OURS, running=True)

    assert mine.level is OK
    assert found.level is FAULT
    assert found.said == "the folder is user 4000000's, but these are not: lock"
    assert found.do.startswith(f"chown -R USER: {tmp_path}")


# -- keys ---------------------------------------------------------------------------------------


def token(expires_in_s: float, **given: object) -> str:
    claims = given or {"community": "local", "groups": ["users"]}
    payload = json.dumps({"exp": time.time() + expires_in_s, **claims}).encode()
    return f"h.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.s"


@pytest.mark.parametrize(
    ("text", "mode", "level"),
    [
        (token(366 * 86_400), 0o600, OK),
        (token(3 * 86_400), 0o600, WARNING),
        (token(-60), 0o600, FAULT),
        (token(366 * 86_400), 0o644, FAULT),
        ("nonsense", 0o600, WARNING),
        ("a.b.c", 0o600, WARNING),
    ],
    ids=["a year", "three days", "over", "for all to read", "no token", "no payload"],
)
def test_the_admin_token_is_judged(tmp_path: Path, text: str, mode: int, level: Severity) -> None:
    path = tmp_path / "admin.token"
    path.write_text(text)
    path.chmod(mode)

    assert key_checks.admin_token(tmp_path, CommunitySettings()).level is level


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"community": "local", "groups": ["users", "more"]}, "valid for"),
        ({"community": "ctao", "groups": ["users"]}, "community.name is 'local', the"),
        ({"community": "local", "groups": ["sim"]}, "community.groups has users, the"),
    ],
)
def test_settings_of_the_community_that_came_too_late_are_told(
    tmp_path: Path, claims: dict[str, object], said: str
) -> None:
    path = tmp_path / "admin.token"
    path.write_text(token(366 * 86_400, **claims))
    path.chmod(0o600)
    found = key_checks.admin_token(tmp_path, CommunitySettings())

    assert said in found.said
    assert ("remove admin.token" in found.do) is (found.level is WARNING)
    unnamed = key_checks.admin_token(tmp_path, CommunitySettings(), is_default=True)
    assert ("name it with --config" in unnamed.do) is (found.level is WARNING)


def test_keys_that_others_may_read_are_a_fault(tmp_path: Path) -> None:
    assert [one.level for one in key_checks.key_files(tmp_path)] == [WARNING]
    for name in ("signing-keys.json", "attempt-key", "pilot-signing-key.pem"):
        (tmp_path / name).write_text("{}")
        (tmp_path / name).chmod(0o600)
    (unreadable,) = key_checks.key_files(tmp_path)
    os.chmod(tmp_path / "attempt-key", 0o640)
    (open_,) = key_checks.key_files(tmp_path)

    os.remove(tmp_path / "attempt-key")
    (restored,) = key_checks.key_files(tmp_path)

    assert (restored.level, restored.said) == (WARNING, "attempt-key: missing")
    assert restored.do.startswith("after a restore nothing")
    assert unreadable.level is open_.level is FAULT
    assert "chmod 0600" in open_.do


def test_a_certificate_that_is_not_there_is_a_fault() -> None:
    named = Settings(http=HttpSettings(tls_certificate="/none.pem", tls_key="/none.key"))

    assert key_checks.certificate(named).level is FAULT
    assert key_checks.certificate(Settings()).level is OK


@pytest.mark.parametrize(("url", "level"), [("", FAULT), ("https://central.example.org", OK)])
def test_plain_http_beyond_the_machine_is_a_fault(url: str, level: Severity) -> None:
    bare = Settings(http=HttpSettings(host="0.0.0.0", url=url))

    assert key_checks.certificate(bare).level is level


def test_warnings_alone_are_no_fault() -> None:
    findings: list[Finding] = [ok("a", "b"), warning("a", "b", "c")]

    assert not at_fault(findings)
    assert at_fault([*findings, fault("a", "b", "c")])


@pytest.mark.parametrize("url", ["x", "mysql://here/db", "postgresql://me:secret@here/db"])
def test_a_database_that_cannot_be_meant_is_one_fault_among_all_checks(
    tmp_path: Path, url: str
) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "lock").touch()
    found = examine(ServeOptions(data=data, options={"store.url": url}), whole_store=True)

    assert [one.level for one in found if one.check == "store"] == [FAULT]
    assert {"disk", "keys", "open files"} <= {one.check for one in found}


def test_wrong_settings_are_the_one_fault_and_nothing_is_said_by_the_defaults(
    tmp_path: Path,
) -> None:
    data, config = tmp_path / "data", tmp_path / "site.yaml"
    data.mkdir(mode=0o700)
    (data / "lock").touch()
    (data / "admin.token").write_text(token(366 * 86_400, community="ctao", groups=["sim"]))
    (data / "admin.token").chmod(0o600)
    config.write_text("community: {name: ctao, groups: [sim]}\nmatcher: {ahead: much}\n")
    found = examine(ServeOptions(data=data, config=config), whole_store=True)

    assert [one.check for one in found if one.level is FAULT] == ["settings"]
    assert "checks that need the settings are left out" in found[0].said
    assert "disk" in {one.check for one in found}, "what needs none is told"
    assert not any("remove admin.token" in one.do for one in found)
