"""What pages tell administrators to write, for services that are set up by it."""

import re
from collections.abc import Mapping

from tests.tidy import tree


def on_page(page: str, name: str, places: Mapping[str, str]) -> str:
    """Return the block of that name, with other words in place of some that stand there."""
    found = re.search(rf"^```\w+ {re.escape(name)}\n(.*?)^```$", tree.text(page), re.M | re.S)
    assert found is not None, f"{page} has no block {name}"
    text = found[1]
    for said, meant in places.items():
        text = text.replace(said, meant)
    return text
