"""The pages that follow from the code say what the code says."""

import pytest

from .generate import DOCS, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    page = DOCS / name

    assert page.is_file(), f"docs/{name} is missing: make docs"
    assert page.read_text(encoding="utf-8") == PAGES[name](), f"docs/{name} is old: make docs"
