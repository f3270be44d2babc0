"""How much of a payload's output is sent live, and from where."""

from pilotage.pilot.talk.livelog import (
    BEHIND_BYTES_MAX,
    PIECE_BYTES,
    RATE_BYTES_S,
    SentOffsets,
    whole_characters,
)
from pilotage.proto.messages import Stream


def test_no_more_than_the_rate_is_sent_however_much_there_is() -> None:
    following, sent, now = SentOffsets(), 0, 0.0
    while now < 10:
        piece = following.next_range(Stream.OUT, int(1_000_000 * now), now)
        if piece is not None:
            following.sent(Stream.OUT, sum(piece), piece[1], now)
            sent += piece[1]
        now += 0.05

    assert 0.9 * RATE_BYTES_S * 10 <= sent <= RATE_BYTES_S * 10 + PIECE_BYTES


def test_what_is_too_far_behind_is_left_out_and_shows_as_a_gap() -> None:
    following = SentOffsets()

    assert following.next_range(Stream.OUT, 10_000_000, 0.0) == (
        10_000_000 - BEHIND_BYTES_MAX,
        PIECE_BYTES,
    )


def test_both_streams_share_the_rate() -> None:
    following = SentOffsets()
    following.sent(Stream.OUT, PIECE_BYTES, PIECE_BYTES, 0.0)

    assert following.next_range(Stream.ERR, 10, 0.0) is None
    assert following.next_range(Stream.ERR, 10, 1.0) == (0, 10)


CUT = {
    "plain": (b"abc", b"abc"),
    "whole": ("aé".encode(), "aé".encode()),
    "cut after one of two": ("aé".encode()[:-1], b"a"),
    "cut after two of three": ("a€".encode()[:-1], b"a"),
    "cut after three of four": ("a😀".encode()[:-1], b"a"),
    "no text at all": (b"\xff\xfe", b"\xff\xfe"),
    "nothing": (b"", b""),
}


def test_a_piece_ends_with_a_whole_character() -> None:
    assert {name: whole_characters(given, last=False) for name, (given, _) in CUT.items()} == {
        name: kept for name, (_, kept) in CUT.items()
    }
    assert whole_characters("é".encode()[:-1], last=True) == b"\xc3"
