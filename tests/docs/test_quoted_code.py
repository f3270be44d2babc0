"""Code that a page quotes, indented by four blanks, stands in the product."""

import re
from textwrap import dedent
from typing import Final

import pytest

from ..tidy import prose, tree

BLOCK: Final = re.compile(r"^(?:    .*\n|\n(?=    ))+", re.MULTILINE)
CODE: Final = re.compile(r"^(?:@|class |def |async def )", re.MULTILINE)


def quotes(page: str) -> list[str]:
    """Return the quoted functions and classes of a page."""
    found = (dedent(block[0]).strip() for block in BLOCK.finditer(tree.text(page)))
    return [one for one in found if CODE.search(one)]


QUOTES: Final = [(page, quote) for page in prose.pages() for quote in quotes(page)]


@pytest.mark.parametrize(("page", "quote"), QUOTES)
def test_quoted_code_is_that_of_the_product(page: str, quote: str) -> None:
    assert any(quote in tree.text(name) for name in tree.modules(*tree.ROOMS)), page


def test_a_page_quotes_code() -> None:
    assert {page for page, _ in QUOTES} == {"docs/decisions/0021-roles-and-routes.md"}
