"""Words after the question mark: read as a body is, and cheaply."""

import gc

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.http.call import parse_query


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    state: tuple[str, ...] = ()
    limit: int = 100


def test_words_that_may_be_repeated_are_lists_and_numbers_are_text() -> None:
    assert parse_query(b"state=a&limit=7&state=b", _Asked) == _Asked(("a", "b"), 7)


@pytest.mark.parametrize(
    ("query", "field"), [(b"limit=1&limit=2", "limit"), (b"limit=x", "limit"), (b"no=1", "no")]
)
def test_a_wrong_word_is_refused_by_name(query: bytes, field: str) -> None:
    with pytest.raises(Refused) as why:
        parse_query(query, _Asked)

    assert why.value.field == field


def _left() -> int:
    """Return how many objects a hundred queries leave for the collector."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            parse_query(b"state=a&limit=7", _Asked)
        return gc.collect()
    finally:
        gc.enable()


def test_a_query_leaves_nothing_for_the_collector() -> None:
    """Which walks what is old hardly ever: circles would lie there for hours."""
    parse_query(b"limit=1", _Asked)

    assert min(_left() for _ in range(3)) < 100  # other threads of the tests may leave something
