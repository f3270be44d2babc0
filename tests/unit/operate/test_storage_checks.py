"""What doctor says of storages: what does not read, and which are swept."""

from functools import partial
from pathlib import Path

from pilotage.central.catalogue import record_registration as registration
from pilotage.central.catalogue.record_types import NewFile, NewReplica
from pilotage.central.operate.datadir import CentralProcess, announce
from pilotage.central.operate.doctor.storage_checks import storages
from pilotage.central.settings import DataSettings, Settings
from pilotage.central.store.sqlite import open_sqlite
from pilotage.central.store.sqlite.check import reading
from pilotage.proto.catalogue import Did
from tests.contract.store.rows import a_class

DISK = "type: file\nurl: file:///srv/{}\n"


def said(data: Path, **files: str) -> list[tuple[str, str]]:
    folder = data / "storages"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return [(one.level.value, one.said) for one in storages(data, Settings())]


def test_without_storages_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert list(storages(tmp_path, Settings())) == []
    assert said(tmp_path) == []


def test_which_are_swept_is_said(tmp_path: Path) -> None:
    disk = DISK.format("disk")
    (one,) = said(tmp_path, disk=disk)
    (two,) = said(tmp_path, web=f"{DISK.format('web')}deletes: true\n")

    assert one[0] == "ok" and one[1].endswith("stay: no storage has deletes: true")
    assert two[0] == "ok" and two[1].endswith("are deleted after 7 days from web")


def test_how_long_bytes_wait_is_that_of_the_central_that_runs_here(tmp_path: Path) -> None:
    announce(tmp_path, CentralProcess(url="http://127.0.0.1:1", pid=1, sweep_after_s=5.0))
    (one,) = said(tmp_path, web=f"{DISK.format('web')}deletes: true\n")

    assert one[1].endswith("are deleted after 5 seconds from web")


def test_a_file_that_does_not_read_and_one_that_shares_its_bytes_are_told(tmp_path: Path) -> None:
    found = said(
        tmp_path,
        bad="type: none\n",
        disk=f"{DISK.format('disk')}deletes: true\n",
        part=DISK.format("disk/part"),
    )

    disk = "disk has deletes: true, but is not swept: "
    assert [level for level, _ in found] == ["fault", "warning", "ok"]
    assert "bad.yaml" in found[0][1]
    bad = "the file of storage bad has an error: bad may have the same folder"
    assert found[1][1] == f"{disk}{bad}"
    (tmp_path / "storages" / "bad.yaml").unlink()
    (shared, _) = said(tmp_path)
    assert shared[1].startswith(f"{disk}it may share its folder with part")


def test_keys_that_others_may_read_are_a_fault(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("access secret\n")
    keys.chmod(0o644)
    credential = f"credential: {{source: keys, options: {{file: {keys}}}}}"
    s3 = f"type: s3\nurl: https://s3.test/ctao\n{credential}\n"
    first = said(tmp_path, bucket=s3)
    keys.chmod(0o600)
    second = said(tmp_path)

    assert [level for level, _ in first] == ["fault", "ok"]
    assert first[0][1].startswith(f"bucket: other users may read its keys in {keys}")
    assert [level for level, _ in second] == ["ok"]


def test_a_folder_that_the_settings_name_must_be_there(tmp_path: Path) -> None:
    settings = Settings(data=DataSettings(storages=str(tmp_path / "none")))
    (found,) = storages(tmp_path, settings)

    assert found.level.value == "fault" and "data.storages names it" in found.said


def _never(why: str) -> None:
    raise AssertionError(why)


async def test_storages_that_have_copies_of_files_and_no_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = await open_sqlite(path, clock_wall=lambda: 1.0, fatal=_never)
    kind = await a_class(store)
    replicas = tuple(NewReplica(storage=name, path="ctao/1") for name in ("bad", "disk", "web"))
    file = NewFile(
        did=Did("sim", "one"),
        bytes=7,
        adler32="00000001",
        replicas=replicas,
        owner_id=kind.owner_id,
    )
    await store.write(registration.register_files, "ctao", [file], at=1.0)
    await store.close()
    read = partial(reading, path)

    def told() -> list[tuple[str, str]]:
        found = storages(tmp_path, Settings(), read)
        return [(one.level.value, one.said.partition(", and ")[0]) for one in found]

    assert told() == [("warning", "files have copies on bad, disk, web")]
    said(tmp_path, bad="type: none\n", disk=DISK.format("disk"))
    assert told()[0] == ("warning", "files have copies on web")
    said(tmp_path, web=DISK.format("web"))
    assert [level for level, _ in told()] == ["fault", "ok"]  # what is bad has a word already
