"""Names here and in Rucio, and filters over metadata."""

import pytest

from pilotage.central.rucio.filters import BadFilter, parse_filter
from pilotage.central.rucio.names import inside, outside, wrong_name
from pilotage.proto.catalogue import BadCatalogueField, Did

CANNOT = ("a:b+c", "a:" + 251 * "x", 26 * "a" + ":b", "a:-b", "a:é", "a+b:c")


@pytest.mark.parametrize("name", CANNOT)
def test_names_that_rucio_cannot_hold_are_named(name: str) -> None:
    assert wrong_name(name).startswith(f"found {name!r}, expected a name")


def test_a_prefix_counts_as_part_of_the_name() -> None:
    assert wrong_name("a:" + 250 * "x") == ""
    assert wrong_name("a:" + 250 * "x", "/") != ""
    assert wrong_name("a:-b", "/") == ""


def test_names_map_both_ways() -> None:
    ours = inside("raw", "/run1/f.h5", "/")

    assert ours == Did("raw", "run1/f.h5")
    assert outside(ours, "/") == Did("raw", "/run1/f.h5")


@pytest.mark.parametrize("name", ["run1", "//run1", "/run1//f", "/"])
def test_names_that_we_cannot_hold_are_refused(name: str) -> None:
    with pytest.raises(BadCatalogueField):
        inside("raw", name, "/")


FILE = {"run": 20, "kind": "raw", "good": "true", "x": 1.5}
#  filter, and whether it takes the file
FILTERS = {
    "": True,
    "run=20": True,
    "run>=20,kind=raw": True,
    "run>20,kind=raw": False,
    "run>20;kind=raw": True,
    "run!=20": False,
    "kind=r*": True,
    "kind!=s*": True,
    "kind=[r]aw": False,
    "good=true": True,
    "x<2": True,
    "none!=1": False,
}


@pytest.mark.parametrize("text", FILTERS)
def test_filters_take_the_files_that_rucio_would_take(text: str) -> None:
    assert parse_filter(text).meets(FILE) is FILTERS[text]


def test_a_wrong_filter_names_its_part() -> None:
    with pytest.raises(BadFilter, match="found 'kind raw'"):
        parse_filter("run=1,kind raw")
