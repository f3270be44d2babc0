"""What is wrong with a message, in words."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, cast

import msgspec
import pytest
from msgspec import Meta, inspect

from pilotage.central.factory.credentials.sources import OPTIONS
from pilotage.central.factory.drivers import driver
from pilotage.central.factory.site_files.sites import SiteEntry
from pilotage.central.settings import Settings
from pilotage.proto.decoding.complaints import as_json, complaint
from pilotage.proto.documents.job import Job
from tests.docs.site_files import our_kinds

Url = Annotated[str, Meta(pattern="^https:", description="a URL as https://host")]


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    memory_mb: int = 0


class Timed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    wait_s: Annotated[float, Meta(ge=0, le=60)] = 0
    limit_mb: int | None = None
    count: int = 0
    text_s: str = ""
    words: dict[str, int] = {}
    parts: tuple[Inner, ...] = ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"wait_s": "soon"}, "expected a number of seconds, such as 60; got 'soon'"),
        ({"wait_s": 61}, "expected a number of seconds from 0 to 60, found 61"),
        ({"limit_mb": "2GB"}, "expected a whole number of MB, such as 2000; got '2GB'"),
        ({"count": "many"}, 'expected a whole number, got text, found "many"'),
        ({"text_s": 1}, 'expected text, got a whole number: write it in quotes, "1"'),
        ({"words": {"a_s": "b"}}, 'expected a whole number, got text, found "b"'),
    ],
    ids=str,
)
def test_a_wrong_number_is_told_its_unit_and_an_example(given: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as why:
        msgspec.convert(given, Timed)

    assert complaint(why.value, Timed, as_json(given)).message == said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("memory_mb", "it belongs in `parts`: write `parts.memory_mb`"),
        ("memory", "it belongs in `parts`: did you mean `parts.memory_mb`?"),
        ("waits", "did you mean 'wait_s'?"),
    ],
)
def test_a_field_of_a_part_is_told_its_place(name: str, said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as why:
        msgspec.convert({name: 1}, Timed)

    assert complaint(why.value, Timed).message == f"there is no field {name!r}; {said}"


class Asked(msgspec.Struct, frozen=True):
    url: Annotated[Url, Meta(max_length=16)] = "https:"
    urls: tuple[Url, ...] = ()
    maybe: Url | None = None
    named: Annotated[dict[str, int], Meta(min_length=1)] = {}
    keys: dict[Url, int] = {}
    word: Literal["", "auto"] = ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "ftp:"}, 'expected text: a URL as https://host, found "ftp:"'),
        ({"url": "https:" * 4}, "expected text of at most 16 characters"),
        ({"urls": ["https:", "x"]}, 'expected text: a URL as https://host, found "x"'),
        ({"maybe": "x"}, "expected text: a URL as https://host"),
        ({"named": {}}, "expected a mapping of at least 1 entry, found {}"),
        ({"keys": {"x": 1}}, "expected text: a URL as https://host"),
        ({"word": "atuo"}, "unknown word 'atuo', one of (empty) auto"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told_in_words(given: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as why:
        msgspec.convert(given, Asked)

    assert said in complaint(why.value, Asked, as_json(given)).message


def texts(kind: inspect.Type) -> Iterator[tuple[str, str]]:
    """Yield the patterns within a type, each with what is said of a text that has another form."""
    match kind:
        case inspect.Metadata():
            for pattern, _ in texts(kind.type):
                told = cast(dict[str, str], cast(Any, kind).extra_json_schema or {})
                yield pattern, told.get("description", "")
        case inspect.StrType() if kind.pattern:
            yield kind.pattern, ""
        case inspect.VarTupleType() | inspect.ListType() | inspect.FrozenSetType():
            yield from texts(kind.item_type)
        case inspect.DictType():
            yield from texts(kind.key_type)
            yield from texts(kind.value_type)
        case inspect.UnionType():
            for arm in kind.types:
                yield from texts(arm)
        case inspect.StructType():
            for field in kind.fields:
                yield from texts(field.type)
        case _:
            pass


WRITTEN = [SiteEntry, Settings, Job, *OPTIONS.values(), *(driver(k).options for k in our_kinds())]


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.__name__)
def test_no_pattern_is_shown_to_who_writes_a_file(kind: type[msgspec.Struct]) -> None:
    for pattern, described in texts(inspect.type_info(kind)):
        asked = Annotated[str, Meta(pattern=pattern, description=described)]
        with pytest.raises(msgspec.ValidationError) as why:
            msgspec.convert("\n", asked)

        assert "of the form [" not in complaint(why.value, asked).message, pattern
        assert "*" not in complaint(why.value, asked).message, pattern
