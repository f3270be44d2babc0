"""The files of sites that the page shows are read as they stand there."""

import re
from pathlib import Path

import msgspec
import pytest

from pilotage.central.factory.drivers import driver
from pilotage.central.factory.site_files.sites import read_site
from pilotage.central.operate.api_address import check_urls, only_here, url_of
from pilotage.central.settings import Settings
from pilotage.proto.decoding.strict_yaml import load_strictly
from tests.tidy import tree

PAGE = tree.text("docs/operations/sites.md")
SHOWN = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
SETTINGS = re.findall(r"```yaml pilotage.yaml\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(SHOWN)))
def test_a_site_on_the_page_reads(number: int, tmp_path: Path) -> None:
    file = tmp_path / "PIC.yaml"
    file.write_text(SHOWN[number])

    for element in read_site(file).elements.values():
        options = set(driver(element.kind).options.__struct_fields__)
        assert set(element.options) <= options


def test_the_settings_by_which_nodes_reach_the_central_read() -> None:
    settings = msgspec.convert(load_strictly(SETTINGS[0]), Settings)

    check_urls(settings.http, settings.bus)
    assert not only_here(url_of(settings.http, settings.http.port))


def test_the_settings_of_several_communities_read() -> None:
    settings = msgspec.convert(load_strictly(SETTINGS[1]), Settings)

    assert settings.community.names == ("ctao", "lst", "magic")


def test_the_page_shows_each_kind_but_the_plainest() -> None:
    assert {"slurm", "ssh", "htcondor", "arc"} == set(
        re.findall(r"^    kind: (\w+)", "\n".join(SHOWN), re.M)
    )
