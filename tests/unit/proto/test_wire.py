"""What a pilot hears is a message, or BadMessage: nothing else comes out, whatever is sent."""

import pytest

from pilotage.proto.messages import Down
from pilotage.proto.wire import BadMessage, decode


@pytest.mark.parametrize("where", ["DEEP", '{"stop": DEEP}', '{"beat": {"stale": [DEEP]}}'])
def test_what_is_nested_too_deep_is_no_message(where: str) -> None:
    # Some depths can still be read, and are too deep to be shown afterwards.
    for depth in (*range(900, 1_000), 100_000):
        deep = "[" * depth + "]" * depth

        with pytest.raises(BadMessage):
            decode(Down, where.replace("DEEP", deep).encode())
