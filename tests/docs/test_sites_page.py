"""The files of sites that the pages show are valid, and so are their settings."""

import re
from pathlib import Path

import msgspec
import pytest

from pilotage.central.factory.drivers import driver, kinds
from pilotage.central.factory.site_files.sites import read_site
from pilotage.central.operate.api_address import check_urls, only_here, url_of
from pilotage.central.settings import Settings
from pilotage.proto.decoding.strict_yaml import load_strictly
from tests.tidy import tree

PAGES = ("sites", "site-credentials", "communities")


def blocks(page: str, head: str) -> list[str]:
    text = tree.text(f"docs/operations/{page}.md")
    return re.findall(rf"```{head}\n(.*?)```", text, flags=re.DOTALL)


SHOWN = [one for page in PAGES for one in blocks(page, "yaml")]


@pytest.mark.parametrize("number", range(len(SHOWN)))
def test_a_site_on_the_page_reads(number: int, tmp_path: Path) -> None:
    file = tmp_path / "PIC.yaml"
    file.write_text(SHOWN[number])

    for element in read_site(file).elements.values():
        options = set(driver(element.kind).options.__struct_fields__)
        assert set(element.options) <= options


def test_the_settings_by_which_nodes_reach_the_central_read() -> None:
    (shown,) = blocks("first-steps", "yaml")
    settings = msgspec.convert(load_strictly(shown), Settings)

    check_urls(settings.http, settings.bus)
    assert not only_here(url_of(settings.http, settings.http.port))


def test_the_settings_of_several_communities_read() -> None:
    (shown,) = blocks("communities", "yaml pilotage.yaml")
    settings = msgspec.convert(load_strictly(shown), Settings)

    assert settings.community.names == ("ctao", "lst", "magic")


def test_each_kind_is_named_and_has_a_page_that_shows_it() -> None:
    named = re.search(r"The kinds are (.*?)\.$", tree.text("docs/operations/sites.md"), re.M | re.S)
    assert named is not None
    shown = re.findall(r"`(\w+)`", named[1])

    assert sorted(shown) == kinds()
    for kind in shown:
        assert f"    kind: {kind}\n" in tree.text(f"docs/sites/{kind}.md")
