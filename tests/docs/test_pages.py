"""Pages point at things that exist."""

import re
from collections.abc import Iterator
from typing import Final

from ..tidy import tree

LINK: Final = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
MAKE: Final = re.compile(r"(?:`|^ {4})make ([a-z]+)", re.MULTILINE)
TARGET: Final = re.compile(r"^([a-z]+):", re.MULTILINE)
HIDDEN: Final = re.compile(r"```.*?```", re.DOTALL)  # code is no text with links


def pages() -> Iterator[str]:
    return (name for name in tree.files() if name.endswith(".md"))


def test_every_relative_link_leads_to_a_file() -> None:
    broken = [
        f"{page}: {target}"
        for page in pages()
        for target in LINK.findall(HIDDEN.sub("", tree.text(page)))
        if "://" not in target and not ((tree.ROOT / page).parent / target).exists()
    ]

    assert not broken


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(TARGET.findall(tree.text("Makefile")))
    unknown = [
        f"{page}: make {name}"
        for page in pages()
        for name in MAKE.findall(tree.text(page))
        if name not in targets
    ]

    assert not unknown
