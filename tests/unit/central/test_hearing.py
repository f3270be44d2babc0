"""What is heard the short way is what the long way would say of it, and the other way round."""

import dataclasses
import random
import typing
from typing import Any

import msgspec
import pytest

from pilotage.central.decode import decode
from pilotage.central.errors import Refused
from pilotage.central.received_messages import check, hear
from pilotage.proto.messages import Beat, Hello, LogChunk, Register, TokenRequest, Turn

KINDS = (Turn, Beat, Hello, Register, TokenRequest, LogChunk)
TEXTS = (
    "", "el9", "a" * 128, "a" * 129, "a" * 1_025, "a" * 5_000, "tab\there", "del\x7f", "zero\0",
    "é", "line\nfeed", "/absolute", "up/../there", "..", "up..", "a/..b", "0" * 64, "0" * 63 + "G",
    "0" * 64 + "\n", "started", "ended", "exited", "\u2028", 'quote"', "back\\slash",
)  # fmt: skip
NUMBERS = (
    -1, 0, 1, 2, 99, 100, 256, 257, 1_024, 65_536, 65_537, 2**31, 2**32, 2**53 - 1, 2**53, 1e15,
    1e300, -0.5, 0.5, 10**12, 10**12 + 1, 3.2e8, 10**30, True, None, "3",
)  # fmt: skip


def anything(kind: Any, rolls: random.Random) -> Any:
    """Return JSON of about the right form, most of it right."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        given = {
            one.name: anything(hints[one.name], rolls)
            for one in dataclasses.fields(kind)
            if rolls.random() < 0.97
        }
        return given | ({"unknown": 1} if rolls.random() < 0.1 else {})
    arms = [arm for arm in typing.get_args(kind) if arm is not type(None)]
    if typing.get_origin(kind) is tuple:
        return [anything(arms[0], rolls) for _ in range(rolls.choice((0, 0, 1, 2)))]
    if arms:
        return anything(arms[0], rolls) if rolls.random() < 0.8 else None
    if kind is bool:
        return rolls.random() < 0.5
    odd = rolls.random() < 0.05
    if kind in (int, float):
        return rolls.choice(NUMBERS) if odd else rolls.choice((1, 2, 40))
    if kind is str:
        return rolls.choice(TEXTS) if odd else rolls.choice(("word", "0" * 64))
    return rolls.choice((*[one.value for one in kind], "unheard", 7 if odd else "ended"))


def said_of(how: Any, body: bytes, kind: type[Any]) -> tuple[str, Any]:
    try:
        return "taken", plain(how(body, kind))
    except Refused as why:
        return why.code.value, (why.message, why.field)


def plain(message: Any) -> Any:
    """Return a message in terms of tuples, whatever its fields are kept in."""
    if isinstance(message, tuple):
        return tuple(plain(one) for one in typing.cast("Any", message))
    names = getattr(message, "__struct_fields__", None)
    if names is None and dataclasses.is_dataclass(message):
        names = tuple(one.name for one in dataclasses.fields(message))
    return tuple((name, plain(getattr(message, name))) for name in names) if names else message


def long_way(body: bytes, kind: type[Any]) -> Any:
    message = decode(body, kind)
    check(message)
    return message


@pytest.mark.parametrize("kind", KINDS)
def test_both_ways_say_the_same(kind: type[Any]) -> None:
    rolls = random.Random(kind.__name__)
    seen: set[str] = set()
    for _ in range(1_500):
        body = msgspec.json.encode(anything(kind, rolls))
        short = said_of(hear, body, kind)
        seen.add(short[0])

        assert short == said_of(long_way, body, kind), body
    assert {"taken", "invalid"} <= seen


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"gen":"\x01"}', b"\xff", b"[" * 5_000])
def test_what_is_no_message_is_refused_in_the_same_words(body: bytes) -> None:
    assert said_of(hear, body, Turn) == said_of(long_way, body, Turn)


def test_most_messages_go_the_short_way() -> None:
    beat = hear(b'{"gen":"g","session":1,"n":2,"holding":[{"job":1,"epoch":1}]}', Beat)
    odd = hear('{"gen":"é","session":1,"n":2}'.encode(), Beat)

    assert (type(beat) is Beat, type(odd) is Beat) == (False, True)
