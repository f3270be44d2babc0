"""What an operator may write of a site, and what he is told when it is wrong."""

from pathlib import Path

import pytest

from pilotage.central.entry_files import BadEntryFile
from pilotage.central.factory.site_files.sites import SiteBook, read_site, read_sites

GOOD = """\
pledge: 3
elements:
  slurm:
    kind: slurm
    options: {folder: /shared/pilots}
    pilots_max: 40
    shapes:
      - {cores: 8, memory_mb: 16000, wall_s: 86400}
    pilot: {os: el9, tags: [cvmfs:ctao]}
"""


def written(folder: Path, text: str, name: str = "PIC") -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(text)
    return file


def test_a_site_is_read(tmp_path: Path) -> None:
    typed = GOOD.replace("16000", "16GB").replace("86400", "1d")
    site = read_site(written(tmp_path, GOOD))

    assert read_site(written(tmp_path, typed)) == site
    assert site.pledge == 3
    assert site.elements["slurm"].shapes[0].cores == 8
    assert site.elements["slurm"].pilot.tags == ("cvmfs:ctao",)


WRONG = {
    "no elements": ("pledge: 1\n", "PIC.yaml:1: elements: is required and missing"),
    "an unknown key": (GOOD.replace("pilots_max", "pilot_max"), "PIC.yaml:6: .*pilot_max"),
    "a wrong number": (
        GOOD.replace("pilots_max: 40", "pilots_max: -4"),
        "PIC.yaml:6: elements.slurm.pilots_max: ",
    ),
    "a wrong time": (
        GOOD.replace("86400", "1h1h"),
        "PIC.yaml:8: elements.slurm.shapes.0..wall_s: found '1h1h', expected a time such as 2h",
    ),
    "not YAML": (GOOD + "  - [", "PIC.yaml:"),
    "a key that occurs twice": (GOOD + "pledge: 4\n", "occurs twice"),
    "more than there is memory": ("a: &a [x]\nb: [*a, *a]\n" + GOOD, "PIC.yaml:1: the anchor &a"),
    "what is in itself": ("elements: &e\n  a: *e\n", "PIC.yaml:1: the anchor &e"),
    "a wrong amount": (
        GOOD.replace("tags: [cvmfs:ctao]", "amounts: {Shm: 5}"),
        "PIC.yaml:9: elements.slurm.pilot.amounts: found the name 'Shm', expected at most 64",
    ),
    "a wrong tag": (GOOD.replace("cvmfs:ctao", "a b"), "PIC.yaml:9: elements.slurm.pilot.tags"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, name: str) -> None:
    text, told = WRONG[name]

    with pytest.raises(BadEntryFile, match=told):
        read_site(written(tmp_path, text))


def test_a_bad_file_disables_itself_alone_and_its_last_good_word_stays(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    written(tmp_path, GOOD, "CSCS")
    before = read_sites(tmp_path, SiteBook())
    written(tmp_path, "elements: nonsense", "CSCS")
    written(tmp_path, "elements: nonsense", "NEW")

    book = read_sites(tmp_path, before)

    assert set(book.sites) == {"PIC", "CSCS"}
    assert set(book.troubles) == {"CSCS", "NEW"}
    assert book.sites["CSCS"] == before.sites["CSCS"]


def test_a_site_whose_file_is_gone_is_gone(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    before = read_sites(tmp_path, SiteBook())
    file.unlink()

    assert read_sites(tmp_path, before) == SiteBook()
