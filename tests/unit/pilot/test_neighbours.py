"""Pilots of one user on one node: who is hidden from whom, and what payloads must not see."""

import fcntl
import os
from pathlib import Path

import pytest

from pilotage.pilot.neighbours import HiddenPaths, Neighbours, above_job_folders, own_name, place_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def joined(root: Path, place: Path, *covers: Path) -> tuple[Neighbours, str]:
    """Let a pilot come whose payloads see nothing of `covers`; return it, and who sees it."""
    place.mkdir(parents=True, exist_ok=True)
    one = Neighbours(str(root))
    return one, one.join(place, covers)


def test_a_lone_pilot_is_seen_by_nobody(root: Path, tmp_path: Path) -> None:
    assert joined(root, tmp_path / "a", tmp_path / "a")[1] == ""


def test_an_earlier_pilot_that_does_not_hide_the_place_is_named(root: Path, tmp_path: Path) -> None:
    first, _ = joined(root, tmp_path / "a", tmp_path / "a")
    _, seen_by = joined(root, tmp_path / "b", tmp_path / "b")
    first.leave()

    assert seen_by == f"payloads of the pilot in {tmp_path}/a may see {tmp_path}/b"
    assert joined(root, tmp_path / "c", tmp_path)[1] != "", "the second is alive"


def test_a_pilot_below_what_its_neighbours_hide_is_seen_by_none(root: Path, tmp_path: Path) -> None:
    first, _ = joined(root, tmp_path / "jobs" / "1", tmp_path / "jobs")
    _, seen_by = joined(root, tmp_path / "jobs" / "2", tmp_path / "jobs")

    assert seen_by == ""
    assert {*first.places()} == {tmp_path / "jobs" / "1", tmp_path / "jobs" / "2"}


def test_a_pilot_without_namespaces_sees_all_others(root: Path, tmp_path: Path) -> None:
    _bare, _ = joined(root, tmp_path / "a")

    assert joined(root, tmp_path / "a" / "inside", tmp_path / "a")[1] != ""


def test_a_pilot_that_is_gone_sees_nothing_and_its_folder_stays_hidden(
    root: Path, tmp_path: Path
) -> None:
    first, _ = joined(root, tmp_path / "a", tmp_path / "a")
    first.leave()
    second, seen_by = joined(root, tmp_path / "b", tmp_path / "b")

    assert seen_by == ""
    assert tmp_path / "a" in {*second.places()}
    (tmp_path / "a").rmdir()
    third, _ = joined(root, tmp_path / "c", tmp_path)
    assert {*third.places()} == {tmp_path / "b", tmp_path / "c"}
    assert len([*(root / own_name() / "register").iterdir()]) == 2


def test_a_living_pilot_of_release_0_1_beside_is_named_and_hidden(
    root: Path, tmp_path: Path
) -> None:
    old, alike = tmp_path / "pilotage-pilot-abc", tmp_path / "pilotage-sources"
    for folder in (old, alike):
        folder.mkdir()
        (folder / "lock").touch()
    handle = os.open(old / "lock", os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    one, seen_by = joined(root, tmp_path / "a", tmp_path / "a")
    os.close(handle)

    assert seen_by == f"payloads of the pilot in {old} may see {tmp_path}/a: it is of release 0.1"
    assert [*HiddenPaths((), one, tmp_path / "a")] == sorted((tmp_path / "a", old, one.folder))


def test_the_place_of_a_state_folder_is_the_users_folder_above_it() -> None:
    assert place_of(Path("/x", own_name(), "a", "b")) == Path("/x", own_name())
    assert place_of(Path("/x/pilotage-other/a")) == Path("/x/pilotage-other/a")


def test_what_lies_in_a_hidden_folder_is_not_hidden_again(root: Path, tmp_path: Path) -> None:
    one, _ = joined(root, tmp_path / "jobs" / "1", tmp_path / "jobs")

    assert [*HiddenPaths((tmp_path / "jobs",), one, tmp_path / "jobs" / "1")] == [
        tmp_path / "jobs",
        one.folder,
    ]


@pytest.mark.parametrize(
    ("first", "second", "name", "shows"),
    [
        ("8:1 / TOP/one - ext4 /dev/sda1", "8:1 / TOP/two - ext4 /dev/sda1", "two/jobs", ""),
        ("8:1 /x TOP/one - ext4 /dev/sda1", "8:1 /x/jobs TOP/two - ext4 /dev/sda1", "two", "jobs"),
        ("8:1 /x TOP/one - ext4 /dev/sda1", "8:1 /x/jobs/1 TOP/t\\040o - ext4 x", "t o", "jobs/1"),
        ("0:4 / TOP/one - nfs4 nas:/x", "0:5 / TOP/two - nfs4 nas:/x/jobs", "two", "jobs"),
        ("0:4 / TOP/one - nfs4 nas:/x", "0:5 / TOP/two - nfs4 other:/x/jobs", "", "jobs"),
        ("8:1 / TOP/one - ext4 /dev/sda1", "8:2 / TOP/two - ext4 /dev/sda2", "", ""),
        ("8:1 / TOP/one - ext4 /dev/sda1", "8:1 /jobs TOP/two - ext4 /dev/sda1", "", "other"),
    ],
)
def test_what_a_second_mount_shows_of_the_hidden_is_hidden_too(
    root: Path, tmp_path: Path, first: str, second: str, name: str, shows: str
) -> None:
    """A link stands for the second mount; in the last case another lies on top of that."""
    hidden = tmp_path / "one" / "jobs"
    for folder in ("jobs/1", "other"):
        (tmp_path / "one" / folder).mkdir(parents=True)
    link = second.split()[2].replace("\\040", " ").replace("TOP", str(tmp_path))
    Path(link).symlink_to(tmp_path / "one" / shows)
    mounts = tmp_path / "mountinfo"
    lines = (
        line.replace("TOP", str(tmp_path)).replace(" - ", " rw - ") for line in (first, second)
    )
    mounts.write_text("".join(f"36 24 {line} rw\n" for line in lines))

    found = {*HiddenPaths((), Neighbours(str(root)), hidden, str(mounts))} - {root / own_name()}

    assert found == {hidden, *([tmp_path / name] if name else [])}


def test_a_second_mount_hides_nothing_that_all_payloads_need(root: Path, tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        f"36 24 8:1 /x {tmp_path} rw - ext4 /dev/sda1 rw\n"
        "37 24 8:1 /x/jobs / rw - ext4 /dev/sda1 rw\n"
    )
    (tmp_path / "jobs").symlink_to("/")

    one = Neighbours(str(root))
    assert [*HiddenPaths((), one, tmp_path / "jobs", str(mounts))] == [
        tmp_path / "jobs",
        one.folder,
    ]


def test_the_folder_above_those_of_batch_jobs_is_hidden_unless_it_is_the_systems() -> None:
    home = os.path.realpath(os.path.expanduser("~"))
    folders = ["/scratch/execute/dir_1", "/var/job-1", f"{home}/job-1"]

    assert [*map(str, above_job_folders(folders))] == [
        "/scratch/execute",
        "/var/job-1",
        f"{home}/job-1",
    ]


def test_a_register_of_another_user_is_not_used(root: Path, tmp_path: Path) -> None:
    (root / own_name()).symlink_to(tmp_path)

    one, seen_by = joined(root, tmp_path / "a", tmp_path / "a")

    assert seen_by == one.fault
    assert f"{root / own_name()} is not a folder of this user" in one.fault
    assert "or set `register`" in one.fault


def test_a_pilot_in_a_folder_that_its_batch_system_hides_needs_no_register(
    root: Path, tmp_path: Path
) -> None:
    (root / own_name()).symlink_to(tmp_path)
    place = tmp_path / "jobs" / "1"
    place.mkdir(parents=True)
    one = Neighbours(str(root))

    assert one.join(place, [place], common=[tmp_path / "jobs"]) == ""
    assert one.join(place, [place], common=[tmp_path / "other"]) == one.fault


def test_a_living_pilot_of_release_0_1_beside_is_named_without_a_register_too(
    root: Path, tmp_path: Path
) -> None:
    (root / own_name()).symlink_to(tmp_path)
    old, place = tmp_path / "jobs" / "pilotage-pilot-abc", tmp_path / "jobs" / "1"
    for folder in (old, place):
        folder.mkdir(parents=True)
    handle = os.open(old / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    seen_by = Neighbours(str(root)).join(place, [place], common=[tmp_path / "jobs"])
    os.close(handle)

    assert seen_by == f"payloads of the pilot in {old} may see {place}: it is of release 0.1"


@pytest.mark.parametrize(
    ("line", "is_shared"),
    [
        ("36 24 8:1 / ROOT rw - ext4 /dev/sda1 rw", True),
        ("36 24 8:1 /execute/dir_1/tmp ROOT rw - ext4 /dev/sda1 rw", False),
        ("36 24 8:1 /execute/dir_1/tmp /elsewhere rw - ext4 /dev/sda1 rw", True),
    ],
)
def test_a_folder_that_a_batch_system_mounts_for_one_job_is_no_common_register(
    root: Path, tmp_path: Path, line: str, is_shared: bool
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(line.replace("ROOT", str(root)) + "\n")
    (tmp_path / "a").mkdir()
    one = Neighbours(str(root), str(mounts))

    assert (one.fault == "") is is_shared
    assert (one.join(tmp_path / "a", [tmp_path / "a"]) == "") is is_shared


@pytest.mark.parametrize("said", ["{", '{"place": "/", "covers": []}', "[]", '{"covers": []}'])
def test_what_a_payload_has_written_to_the_register_hides_nothing_of_the_node(
    root: Path, tmp_path: Path, said: str
) -> None:
    one, _ = joined(root, tmp_path / "a", tmp_path / "a")
    (one.folder / "register" / "forged").write_text(said)

    assert [*one.places()] == [tmp_path / "a"]
