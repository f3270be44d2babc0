"""Pieces of an output are the same wherever they were cut on their way."""

import pytest

from pilotage.proto.pieces import Pieces, piece

WHOLE = piece(0, b"one\n") + piece(4, b"") + piece(1_000_000_000_000, b"12 3\n\xff")


def read(*parts: bytes) -> dict[int, int]:
    """Return each byte by where it stands."""
    pieces = Pieces()
    found = [one for part in parts for one in pieces.read(part)]
    return {at + n: byte for at, data in found for n, byte in enumerate(data)}


def test_they_may_be_cut_anywhere() -> None:
    whole = read(WHOLE)

    assert bytes(whole.values()) == b"one\n12 3\n\xff"
    assert list(whole) == [0, 1, 2, 3, *range(1_000_000_000_000, 1_000_000_000_006)]
    assert read(*(bytes([byte]) for byte in WHOLE)) == whole
    for cut in range(len(WHOLE)):
        assert read(WHOLE[:cut], WHOLE[cut:]) == whole


@pytest.mark.parametrize("data", [b"hello\n", b"1\n", b"-1 2\n", b"1 2 3\n", b"1" * 41, b"\n"])
def test_what_is_no_piece_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="piece of output"):
        read(data)
