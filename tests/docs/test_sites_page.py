"""The files of sites that the page shows are read as they stand there."""

import re
from pathlib import Path

import pytest

from pilotage.central.factory.drivers import driver
from pilotage.central.factory.sites import read_site
from tests.tidy import tree

SHOWN = re.findall(r"```yaml\n(.*?)```", tree.text("docs/operations/sites.md"), flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(SHOWN)))
def test_a_site_on_the_page_reads(number: int, tmp_path: Path) -> None:
    file = tmp_path / "PIC.yaml"
    file.write_text(SHOWN[number])

    for element in read_site(file).elements.values():
        options = set(driver(element.kind).options.__struct_fields__)
        assert set(element.options) <= options


def test_the_page_shows_each_kind_but_the_plainest() -> None:
    assert {"slurm", "ssh", "htcondor", "arc"} == set(
        re.findall(r"^    kind: (\w+)", "\n".join(SHOWN), re.M)
    )
