"""A cache of bounded size."""

from pilotage.central.bounded_cache import BoundedCache


def filled(size_max: int, *keys: str) -> BoundedCache[str, int]:
    cache = BoundedCache[str, int](size_max)
    for number, key in enumerate(keys):
        cache[key] = number
    return cache


def test_a_new_entry_pushes_out_the_oldest() -> None:
    cache = filled(2, "a", "b", "c")

    assert dict(cache) == {"b": 1, "c": 2}
    assert "a" not in cache and cache.find("a") is None and cache.get("a", 7) == 7


def test_an_entry_that_is_set_again_pushes_out_nothing_and_is_the_newest() -> None:
    cache = filled(2, "a", "b", "a")

    assert list(cache) == ["b", "a"]
    cache["c"] = 9
    assert dict(cache) == {"a": 2, "c": 9}


def test_reading_keeps_no_entry() -> None:
    cache = filled(2, "a", "b")

    assert cache.find("a") == cache["a"] == 0
    cache["c"] = 9
    assert "a" not in cache


def test_no_way_of_setting_passes_the_bound() -> None:
    cache = filled(2, "a", "b")
    cache.update({"c": 3, "d": 4})
    cache.setdefault("e", 5)

    assert dict(cache) == {"d": 4, "e": 5}


def test_forgotten_entries_make_room() -> None:
    cache = filled(2, "a", "b")
    del cache["a"]
    cache["c"] = 9

    assert cache.pop("x", None) is None and dict(cache) == {"b": 1, "c": 9}
    cache.clear()
    assert len(cache) == 0
