"""The site builds without a warning, and none of its links is dead."""

import html.parser
import subprocess
import sys
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]


class _Page(html.parser.HTMLParser):
    """What a page links to, and the anchors that others may link to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.diagrams = ""
        self._in_diagram = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        self.links |= {facts[name] or "" for name in ("href", "src") if name in facts}
        self.anchors |= {facts[name] or "" for name in ("id", "name") if name in facts}
        self._in_diagram = tag == "pre" and facts.get("class") == "mermaid"

    def handle_data(self, data: str) -> None:
        if self._in_diagram:
            self.diagrams += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going"]
        + [
            "-c",
            "docs/site",
            "-d",
            str(folder / "doctrees"),
            "-b",
            "html",
            ".",
            str(folder / "html"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, _Page]:
    return {
        path: _Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts
    }


def test_no_link_of_the_site_is_dead(pages: dict[Path, _Page]) -> None:
    dead = [
        f"{path.name}: {link}"
        for path, page in pages.items()
        for link in page.links
        if _dead(path, link, pages)
    ]

    assert not dead


def test_every_page_of_the_docs_is_in_the_site_and_can_be_searched(
    site: Path, pages: dict[Path, _Page]
) -> None:
    wanted = {path.relative_to(ROOT).with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    index = (site / "searchindex.js").read_text(encoding="utf-8")

    assert wanted <= {path.relative_to(site) for path in pages}
    assert all(f'"{name.with_suffix("")}"' in index for name in wanted)


def test_a_diagram_comes_with_the_script_that_draws_it(
    site: Path, pages: dict[Path, _Page]
) -> None:
    drawn = [page for page in pages.values() if page.diagrams]

    assert drawn
    assert all(any("mermaid.min.js" in link for link in page.links) for page in drawn)
    assert (site / "_static/mermaid.min.js").stat().st_size > 1_000_000


def test_no_diagram_has_a_semicolon_which_ends_a_line_of_mermaid(pages: dict[Path, _Page]) -> None:
    found = [line for page in pages.values() for line in page.diagrams.splitlines() if ";" in line]

    assert not found


def _dead(path: Path, link: str, pages: dict[Path, _Page]) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return False
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.exists():
        return True
    found = pages.get(target)
    return bool(parts.fragment and found and unquote(parts.fragment) not in found.anchors)
