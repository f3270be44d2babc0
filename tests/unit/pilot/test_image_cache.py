"""The cache of fetched images: shared, bounded, and never with half an image."""

import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pilotage.pilot.outfit.image_cache import ImageCache, Watch
from pilotage.pilot.ports import OutfitMissing

KB = 1_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def cache(
    folder: Path, *, kb: int = 100, grace_s: float = 0.0, patience_s: float = 5.0, free: int = 0
) -> ImageCache:
    return ImageCache(folder, kb * KB, patience_s=patience_s, grace_s=grace_s, bytes_free_min=free)


def brings(kb: int) -> Callable[[Path, Watch], None]:
    def fetch(folder: Path, watch: Watch) -> None:
        (folder / "image").write_bytes(b"x" * kb * KB)

    return fetch


def never(folder: Path, watch: Watch) -> None:
    raise AssertionError("it is there already")


def there(folder: Path) -> list[str]:
    return sorted(one for one in os.listdir(folder) if not one.endswith(".lock"))


def aged(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_an_image_is_fetched_once_and_then_found(folder: Path) -> None:
    first = cache(folder).get("a", brings(1))
    assert cache(folder).get("a", never) == first
    assert (first / "image").stat().st_size == KB


def test_pilots_that_want_an_image_at_the_same_time_fetch_it_once(folder: Path) -> None:
    fetches: list[str] = []

    def slow(into: Path, watch: Watch) -> None:
        fetches.append(into.name)
        time.sleep(0.3)

    pilots = [threading.Thread(target=lambda: cache(folder).get("a", slow)) for _ in range(4)]
    for one in pilots:
        one.start()
    for one in pilots:
        one.join()

    assert fetches == ["a.partial"]


def test_a_pilot_does_not_wait_for_ever_for_another(folder: Path) -> None:
    cache(folder).get("other", brings(1))
    with (folder / "a.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(OutfitMissing, match="another pilot .* within 0.3 s"):
            cache(folder, patience_s=0.3).get("a", never)


def test_a_failed_fetch_leaves_nothing(folder: Path) -> None:
    def fails(into: Path, watch: Watch) -> None:
        (into / "half").write_text("half")
        raise OutfitMissing("the network is down")

    with pytest.raises(OutfitMissing, match="network"):
        cache(folder).get("a", fails)

    assert there(folder) == []
    cache(folder).get("a", brings(1))


def test_images_used_longest_ago_make_room(folder: Path) -> None:
    images = cache(folder)
    for name, ago_s in (("old", 300), ("older", 400), ("new", 200)):
        images.get(name, brings(30))
        aged(folder / name, ago_s)
    images.get("older", never)  # used now
    images.get("next", brings(30))

    assert there(folder) == ["new", "next", "older"]


def test_an_image_in_use_or_just_given_out_stays(folder: Path) -> None:
    images = cache(folder, grace_s=100.0)
    for name, ago_s in (("used", 500), ("idle", 400), ("given out", 50)):
        images.get(name, brings(30))
        aged(folder / name, ago_s)
    with (folder / "used.lock").open() as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        images.get("next", brings(30))
        assert there(folder) == ["given out", "next", "used"]
        with pytest.raises(OutfitMissing, match="images are in use.* exceed 0 MB"):
            images.get("one more", brings(30))

    assert there(folder) == ["given out", "next", "used"]


def test_an_image_larger_than_the_cache_is_refused_and_removed(folder: Path) -> None:
    images = cache(folder)
    images.get("small", brings(1))
    with pytest.raises(OutfitMissing, match="expected at most 0"):
        images.get("large", brings(200))

    assert there(folder) == ["small"]


def test_a_fetch_is_stopped_when_the_disk_gets_full(folder: Path) -> None:
    said: list[str] = []

    def fetch(into: Path, watch: Watch) -> None:
        said.append(watch())
        monkey.free = 10
        said.append(watch())
        raise OutfitMissing(said[-1])

    monkey = ShrinkingDisk(folder, 100 * KB, patience_s=1.0, bytes_free_min=KB)
    with pytest.raises(OutfitMissing, match="MB free on its disk"):
        monkey.get("a", fetch)

    assert said[0] == ""
    with pytest.raises(OutfitMissing, match="MB free on its disk"):
        monkey.get("b", never)
    assert there(folder) == []


class ShrinkingDisk(ImageCache):
    free = 10_000

    def _free(self) -> int:
        return self.free


def test_an_image_that_is_old_or_from_before_a_restart_is_fetched_again(folder: Path) -> None:
    cache(folder).get("old", brings(1))
    aged(folder / "old" / "bytes", 11 * 86_400)
    cache(folder).get("crash", brings(1))
    (folder / "crash" / "bytes").write_text("1000 another-boot")
    (folder / "crash" / "image").write_bytes(b"")

    assert (cache(folder).get("crash", brings(2)) / "image").stat().st_size == 2 * KB
    assert (cache(folder).get("old", brings(2)) / "image").stat().st_size == 2 * KB


def test_what_killed_pilots_have_left_goes(folder: Path) -> None:
    images = cache(folder)
    images.get("a", brings(1))
    (folder / "b.partial" / "sub").mkdir(parents=True)
    images.get("a", never)

    assert there(folder) == ["a"]


def test_a_folder_that_others_could_write_to_is_refused(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(mode=0o755)
    with pytest.raises(OutfitMissing, match="mode must be 0700"):
        cache(folder).get("a", never)
    folder.chmod(0o700)
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(OutfitMissing, match="must be a folder of this user"):
        cache(link).get("a", never)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OutfitMissing, match=str(file)):
        cache(file).get("a", never)
