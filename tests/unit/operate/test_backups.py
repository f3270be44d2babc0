"""Backup and restore of a folder: what is refused, what is left behind, what is whole."""

import hashlib
import json
import os
from functools import partial
from pathlib import Path

import pytest

from pilotage.central.cli import admin
from pilotage.central.cli.exit_codes import ExitCode
from pilotage.central.jobs import record_submissions as submission_records
from pilotage.central.operate.backup import backups
from pilotage.central.operate.backup.declared_files import FILE_MAX_BYTES
from pilotage.central.operate.datadir import (
    RESTORING_FILE,
    STORE_FILE,
    CentralProcess,
    StoreGone,
    announce,
    check_whole,
    withdraw,
)
from pilotage.central.operate.doctor import store_checks
from pilotage.central.operate.doctor.findings import Severity
from pilotage.central.store.sqlite import check, open_sqlite, snapshot
from pilotage.central.store.sqlite.check import reading
from tests.contract.store.rows import a_class, a_submission, some_jobs

FILES = {"signing-keys.json": "k", "attempt-key": "a", "admin.token": "t", "pilotage.yaml": "y"}
CONTENT = b"content"
BLOB = hashlib.sha256(CONTENT).hexdigest()


def _never(why: str) -> None:
    raise AssertionError(why)


def silent(step: str) -> None: ...


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """Return a data directory with three jobs and one file."""
    made = tmp_path / "data"
    (made / "blobs" / BLOB[:2]).mkdir(parents=True)
    (made / "blobs" / BLOB[:2] / BLOB[2:]).write_bytes(CONTENT)
    (made / "blobs" / "incoming").mkdir()
    (made / "blobs" / "incoming" / "half").write_bytes(b"half")
    for name, content in FILES.items():
        (made / name).write_text(content)
    store = await open_sqlite(made / "store.sqlite", clock_wall=lambda: 1.0, fatal=_never)
    kind = await a_class(store)
    template = b'{"command":["true"],"inputs":[{"name":"x","sha256":"%s"}]}' % BLOB.encode()
    await store.write(
        submission_records.submit, a_submission(kind, template=template), some_jobs(kind, 3)
    )
    await store.close()
    return made


def names(folder: Path) -> set[str]:
    return {str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file()}


def test_a_backup_is_whole_and_a_restore_makes_keys_of_attempts_anew(
    data: Path, tmp_path: Path
) -> None:
    made = backups.backup(data, tmp_path / "copy", told=silent)
    restored = backups.restore(tmp_path / "copy", tmp_path / "new", told=silent)
    blob = f"blobs/{BLOB[:2]}/{BLOB[2:]}"

    assert (made.jobs, made.blobs, made.blob_bytes) == (3, 1, 7)
    assert names(tmp_path / "copy") == {*FILES, "store.sqlite", "backup.json", blob}
    assert names(tmp_path / "new") == {*FILES, "store.sqlite", "lock", blob} - {"attempt-key"}
    assert restored == made
    assert all((one.stat().st_mode & 0o077) == 0 for one in (tmp_path / "copy").glob("*.*"))
    check_whole(tmp_path / "new", used=tmp_path / "new" / "signing-keys.json")


def test_settings_that_lie_elsewhere_go_along_and_are_put_back_by_hand(
    data: Path, tmp_path: Path
) -> None:
    (tmp_path / "etc.yaml").write_text("http: {}")
    announce(data, CentralProcess(url="http://x", pid=1, config=str(tmp_path / "etc.yaml")))
    backups.backup(data, tmp_path / "copy", told=silent)
    withdraw(data, 1)
    backups.backup(data, tmp_path / "named", config=tmp_path / "etc.yaml", told=silent)
    backups.restore(tmp_path / "copy", tmp_path / "new", told=silent)

    for copy in ("copy", "named"):
        assert (tmp_path / copy / "settings.yaml").read_text() == "http: {}"
    assert not (tmp_path / "new" / "settings.yaml").exists()


DECLARED = {
    "sites/pic.yaml": "elements: {}",
    "sites/keys/pic/token": "s3cret",
    "sites/print-token": "#!/bin/sh",
    "storages/disk.yaml": "type: file",
}


@pytest.fixture
def declared(data: Path) -> Path:
    """Return the data directory with files of sites and storages, as an operator has them."""
    for name, content in DECLARED.items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(content)
    (data / "sites" / "print-token").chmod(0o755)
    (data / "storages" / "bytes").mkdir()
    (data / "storages" / "bytes" / "run7.h5").write_bytes(b"of a job")
    return data


def test_sites_with_their_credentials_and_storages_come_back(
    declared: Path, tmp_path: Path
) -> None:
    made = backups.backup(declared, tmp_path / "copy", told=silent)
    backups.restore(tmp_path / "copy", tmp_path / "new", told=silent)
    new = tmp_path / "new"

    assert made.left_out == () and set(DECLARED) < set(made.files)
    assert {name: (new / name).read_text() for name in DECLARED} == DECLARED
    assert names(new / "storages") == {"disk.yaml"}
    for folder in (tmp_path / "copy", new):
        modes = {one.stat().st_mode & 0o777 for one in (folder / "sites").rglob("*")}
        assert modes == {0o600, 0o700}
    assert (new / "sites" / "print-token").stat().st_mode & 0o777 == 0o700


def test_a_backup_without_sites_and_storages_is_restored(declared: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    backups.backup(declared, copy, told=silent)
    told = json.loads((copy / backups.MANIFEST).read_bytes())
    told["files"] = {name: told["files"][name] for name in (*FILES, STORE_FILE)}
    del told["left_out"]
    (copy / backups.MANIFEST).write_text(json.dumps(told))
    backups.restore(copy, tmp_path / "new", told=silent)

    assert names(tmp_path / "new") >= {STORE_FILE, "signing-keys.json"}
    assert not (tmp_path / "new" / "sites").exists()


def test_a_file_of_a_site_that_was_altered_or_lost_is_no_backup(
    declared: Path, tmp_path: Path
) -> None:
    backups.backup(declared, tmp_path / "copy", told=silent)
    (tmp_path / "copy" / "sites" / "pic.yaml").write_text("other")
    with pytest.raises(backups.BackupRefused, match=r"sites/pic\.yaml differs from backup\.json"):
        backups.restore(tmp_path / "copy", tmp_path / "new", told=silent)

    assert not (tmp_path / "new").exists()


def test_what_is_left_out_of_sites_is_told_and_links_to_files_are_followed(
    declared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sites, elsewhere = declared / "sites", tmp_path / "etc"
    elsewhere.mkdir()
    (elsewhere / "cscs.yaml").write_text("elements: {}")
    (sites / "cscs.yaml").symlink_to(elsewhere / "cscs.yaml")
    (sites / "lost").symlink_to(elsewhere / "none")
    (sites / "outside").symlink_to(elsewhere)
    (sites / "inside").symlink_to(sites / "keys")
    (sites / "image").write_bytes(bytes(FILE_MAX_BYTES + 1))
    os.mkfifo(sites / "pipe")
    made = admin.backup(tmp_path / "copy", data=declared)
    said = capsys.readouterr().err

    assert made == ExitCode.FAILED
    assert [line.split(": ", 2)[2] for line in said.splitlines() if "left out: " in line] == [
        f"sites/image: has more than {FILE_MAX_BYTES} bytes",
        "sites/lost: No such file or directory",
        "sites/pipe: it is not a regular file",
        "sites/outside: is a link to a folder elsewhere",
    ]
    assert (tmp_path / "copy" / "sites" / "cscs.yaml").read_text() == "elements: {}"
    assert not (tmp_path / "copy" / "sites" / "cscs.yaml").is_symlink()


def file_of(folder: Path) -> Path:
    return folder / "blobs" / BLOB[:2] / BLOB[2:]


def test_a_backup_whose_files_are_gone_is_restored_only_on_demand(
    data: Path, tmp_path: Path
) -> None:
    backups.backup(data, tmp_path / "copy", told=silent)
    file_of(tmp_path / "copy").unlink()
    with pytest.raises(backups.BackupRefused, match="1 of 1 files are missing from this backup"):
        backups.restore(tmp_path / "copy", tmp_path / "new", told=silent)

    assert not (tmp_path / "new").exists()
    backups.restore(tmp_path / "copy", tmp_path / "new", incomplete=True, told=silent)
    assert (tmp_path / "new" / "store.sqlite").is_file()


def test_a_file_with_other_bytes_than_its_name_says_is_not_restored(
    data: Path, tmp_path: Path
) -> None:
    backups.backup(data, tmp_path / "copy", told=silent)
    file_of(tmp_path / "copy").write_bytes(b"other")
    with pytest.raises(backups.BackupRefused, match="1 files are damaged, the first is"):
        backups.restore(tmp_path / "copy", tmp_path / "new", told=silent)
    backups.restore(tmp_path / "copy", tmp_path / "newer", incomplete=True, told=silent)

    assert (tmp_path / "new" / RESTORING_FILE).exists()
    assert not file_of(tmp_path / "newer").exists()
    assert not (tmp_path / "newer" / RESTORING_FILE).exists()


def test_files_that_jobs_name_are_looked_for(data: Path, tmp_path: Path) -> None:
    store = partial(reading, data / STORE_FILE)
    whole = store_checks.files(data, store, whole=True)
    file_of(data).write_bytes(b"other")
    unread = store_checks.files(data, store, whole=False)
    read = store_checks.files(data, store, whole=True)
    file_of(data).unlink()
    gone = store_checks.files(data, store, whole=False)
    made = backups.backup(data, tmp_path / "copy", told=silent)

    assert whole.level is unread.level is Severity.OK
    assert read.level is gone.level is Severity.FAULT
    assert str(file_of(data)) in read.said and "wrong bytes" in read.said
    assert str(file_of(data)) in gone.said and "missing" in gone.said
    assert (made.blobs, made.blobs_missing) == (0, 1)


def test_without_files_there_are_none(data: Path, tmp_path: Path) -> None:
    made = backups.backup(data, tmp_path / "copy", blobs=False, told=silent)

    assert (made.blobs, made.blobs_missing, made.without_files) == (0, 0, True)
    assert names(tmp_path / "copy") == {*FILES, "store.sqlite", "backup.json"}


@pytest.mark.parametrize(
    "name",
    [
        *("../evil.txt", "/tmp/evil.txt", "blobs/../../evil.txt", "sites/../../evil.txt"),
        *("sites/./../evil.txt", "storages//../../evil.txt", "sites", "/sites/evil.txt"),
    ],
)
def test_a_backup_puts_nothing_outside_of_the_folder_that_it_is_restored_to(
    data: Path, tmp_path: Path, name: str
) -> None:
    copy, target = tmp_path / "copy", tmp_path / "target"
    backups.backup(data, copy, told=silent)
    (tmp_path / "evil.txt").write_bytes(b"")
    told = json.loads((copy / backups.MANIFEST).read_bytes())
    told["files"][name] = hashlib.sha256(b"").hexdigest()
    (copy / backups.MANIFEST).write_text(json.dumps(told))

    with pytest.raises(backups.BackupRefused, match="not a file of a backup"):
        backups.restore(copy, target, told=silent)
    assert not target.exists()


def test_what_is_there_is_never_written_over(data: Path, tmp_path: Path) -> None:
    backups.backup(data, tmp_path / "copy", told=silent)
    with pytest.raises(backups.BackupRefused, match="not empty"):
        backups.backup(data, tmp_path / "copy", told=silent)
    with pytest.raises(backups.BackupRefused, match="not empty"):
        backups.restore(tmp_path / "copy", data, told=silent)
    with pytest.raises(backups.BackupRefused, match="is not a backup"):
        backups.restore(data, tmp_path / "new", told=silent)
    with pytest.raises(backups.BackupRefused, match=r"no store\.sqlite"):
        backups.backup(tmp_path, tmp_path / "other", told=silent)


def test_a_backup_that_fails_leaves_nothing(data: Path, tmp_path: Path) -> None:
    (data / "store.sqlite").write_bytes(b"no database" * 1_000)
    with pytest.raises(backups.BackupRefused):
        backups.backup(data, tmp_path / "copy", told=silent)

    assert [one.name for one in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("how", [["row 3 is torn"], KeyboardInterrupt])
def test_a_backup_that_is_refused_or_interrupted_leaves_nothing(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: list[str] | type[BaseException],
) -> None:
    def look(*_: object, **__: object) -> list[str]:
        if isinstance(how, list):
            return how
        raise how

    monkeypatch.setattr(check, "damage", look)
    with pytest.raises((backups.BackupRefused, KeyboardInterrupt)):
        backups.backup(data, tmp_path / "copy", told=silent)

    assert [one.name for one in tmp_path.iterdir()] == ["data"]


def test_a_backup_does_not_go_into_what_it_backs_up(data: Path) -> None:
    with pytest.raises(backups.BackupRefused, match="is inside the data directory"):
        backups.backup(data, data / "backups" / "one", told=silent)

    assert not (data / "backups").exists()


def test_a_restore_that_is_cut_off_is_no_data_directory(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backups.backup(data, tmp_path / "copy", told=silent)

    def cut(path: Path, at: float) -> str:
        raise OSError(5, "the power went")

    monkeypatch.setattr(snapshot, "renew", cut)
    with pytest.raises(backups.BackupRefused, match="remove the folder"):
        backups.restore(tmp_path / "copy", tmp_path / "new", told=silent)

    assert (tmp_path / "new" / RESTORING_FILE).exists()
    assert not (tmp_path / "new" / "store.sqlite").exists()
    with pytest.raises(StoreGone, match="not finished"):
        check_whole(tmp_path / "new", used=tmp_path / "new" / "signing-keys.json")


def test_where_a_backup_goes_is_an_option_and_is_said_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = admin.restore(Path("copy"), Path("new"))

    assert code == ExitCode.USAGE
    assert "pilotage admin restore copy --data new" in capsys.readouterr().err
