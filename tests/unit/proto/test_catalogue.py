"""Names of files, their metadata, and queries: what is taken, and what is said of the rest."""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from pilotage.proto.catalogue import (
    BadCatalogueField,
    Did,
    FileState,
    KeyType,
    ReplicaState,
    check_path,
    checked_metadata,
    checked_value,
    parse_query,
    query_of_words,
    state_of,
    value_of_text,
)

KEYS = {"particle": KeyType.STRING, "run": KeyType.NUMBER, "moon": KeyType.BOOLEAN}

GOOD_NAMES = ["a:b", "ctao:gamma/run1.h5", "x.y-z_1:a:b", "a:é", "a:a..b", "a:" + "n" * 512]
BAD_NAMES = [
    "",
    "a",
    ":b",
    "a:",
    "-a:b",
    "a b:c",
    "a:/b",
    "a:b/",
    "a:b//c",
    "a:../b",
    "a:b/./c",
    "a:b c",
    "a:b\n",
    "a:b\u00a0c",
    "a:b\x7f",
    "a:\ud800",
    "s" * 65 + ":b",
    "a:" + "n" * 513,
    "a\n:b",
]


@pytest.mark.parametrize("text", GOOD_NAMES)
def test_a_good_name_is_read_and_written_alike(text: str) -> None:
    assert str(Did.parse(text)) == text


@pytest.mark.parametrize("text", BAD_NAMES)
def test_a_bad_name_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(BadCatalogueField, match="expected") as caught:
        Did.parse(text, "files[3].did")

    assert caught.value.field == "files[3].did"


@pytest.mark.parametrize(
    "value",
    [None, [1], {"a": 1}, float("nan"), float("inf"), 2**53, -(2**53), "a\nb", "n" * 513, b"a"],
)
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(BadCatalogueField, match=r"metadata\.run"):
        checked_metadata({"run": value})


@pytest.mark.parametrize("key", ["", "1run", "a b", "run\n", "dataset", "name", "k" * 65, "é"])
def test_other_keys_are_refused(key: str) -> None:
    with pytest.raises(BadCatalogueField, match="metadata"):
        checked_metadata({key: 1})


def test_a_number_has_one_form() -> None:
    assert repr(checked_value(20.0, "")) == "20"
    assert repr(checked_value(-0.0, "")) == "0"
    assert checked_value(20.5, "") == 20.5
    assert checked_value(True, "") is True


#         the condition                  fits                  does not
CONDITIONS: list[tuple[Any, list[Any], list[Any]]] = [
    (20, [20], [21, "20", True, None]),
    (1, [1], [True, None]),
    (True, [True], [1, False, None]),
    ("20", ["20"], [20, None]),
    ({"!=": 20}, [21], [20, "20", None]),
    ({">=": 20}, [20, 20.5], [19, "20", True, None]),
    ({">": 20, "<=": 30}, [21, 30], [20, 31, None]),
    ({"<": "b"}, ["a", "a2"], ["b", 1, None]),
    ({"in": [1, 5]}, [1, 5], [2, True, "1", None]),
    ({"not in": [1, 5]}, [2], [1, 5, None]),
    ({"like": "run1*"}, ["run1", "run12"], ["run2", "xrun1", "RUN1", None]),
    ({"like": "a?c[1]*"}, ["abc[1]", "aac[1]x"], ["ac[1]", "abc1", None]),
    ({"exists": True}, [0, False, ""], [None]),
    ({"exists": False}, [None], [0, False]),
]


@pytest.mark.parametrize(("clause", "fits", "others"), CONDITIONS)
def test_conditions_hold_for_values_of_their_type(
    clause: Any, fits: list[Any], others: list[Any]
) -> None:
    query = parse_query({"k": clause})

    assert [v for v in fits + others if query.meets({} if v is None else {"k": v})] == fits


def test_all_conditions_must_hold() -> None:
    query = parse_query({"particle": "gamma", "run": {">=": 20}, "dataset": "ctao:set"})

    assert query.meets({"particle": "gamma", "run": 20, "other": 1})
    assert not query.meets({"particle": "gamma", "run": 19})
    assert query.dataset == Did("ctao", "set")
    assert parse_query(query.document()) == parse_query(
        {"dataset": "ctao:set", "particle": {"=": "gamma"}, "run": {">=": 20}}
    )


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "query: found .*a mapping"),
        ({"run": [1, 5]}, r'query\.run: .*\{"in": \[1, 5\]\}'),
        ({"run": {"=>": 1}}, r"query\.run: found '=>'.*expected"),
        ({"run": {"nin": [1]}}, "not in|in"),
        ({"run": {"in": []}}, r"query\.run\.in: .*a list of values"),
        ({"run": {"in": 5}}, "a list of values"),
        ({"run": {">": True}}, "have no order"),
        ({"run": {"like": 5}}, "a text with"),
        ({"run": {"exists": 1}}, "true or false"),
        ({"run": {}}, "an operator"),
        ({"run": None}, r"query\.run: found None"),
        ({"run": {"in": [[1]]}}, r"query\.run\.in"),
        ({"ru n": 1}, "a key"),
        ({1: 1}, "a key that is a text"),
        ({"dataset": 1}, "a dataset"),
        ({"dataset": "x"}, r"query\.dataset"),
        ({f"k{n}": n for n in range(65)}, "65 conditions"),
        ({"run": {"in": list(range(1_001))}}, "1001 values"),
    ],
)
def test_what_is_wrong_with_a_query_is_said(document: Any, said: str) -> None:
    with pytest.raises(BadCatalogueField, match=said):
        parse_query(document)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"partcle": "gamma"}, "expected particle"),
        ({"RUN": 1}, "expected run"),
        ({"zzz": 1}, "one of: moon, particle, run"),
        ({"run": "20"}, r"query\.run: found '20', expected a number"),
        ({"run": {"in": [1, "5"]}}, "expected a number"),
        ({"run": {"like": "1*"}}, "run is not a text"),
        ({"moon": 1}, "true or false"),
    ],
)
def test_a_query_is_checked_against_the_keys_that_are_there(document: Any, said: str) -> None:
    query = parse_query(document)

    with pytest.raises(BadCatalogueField, match=said):
        query.check(KEYS)


def test_words_of_a_command_line_are_a_query() -> None:
    words = ["particle=gamma,proton", "run>=20", "run < 30.5", "moon=true", "!run", "dataset=a:b"]

    assert query_of_words(words, KEYS).document() == {
        "particle": {"in": ["gamma", "proton"]},
        "run": {">=": 20, "<": 30.5, "exists": False},
        "moon": {"=": True},
        "dataset": "a:b",
    }


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("partcle=gamma", "expected particle"),
        ("run=abc", "a number"),
        ("moon=1", "true or false"),
        ("run~1*", "run is not a text"),
        ("dataset>a:b", "dataset=SCOPE:NAME"),
        ("=5", "a key"),
        ("name~run1*", "a key of metadata: files are not searched by this"),
    ],
)
def test_wrong_words_are_refused(word: str, said: str) -> None:
    with pytest.raises(BadCatalogueField, match=said):
        query_of_words([word], KEYS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("run=9 run=77", "found 'run=77', expected one condition with '=' on run: run=9 is there"),
        ("run>=100 run>=1", "run>=100 is there"),
        ("run=1,2 run=3,4", "run=1,2 is there"),
        ("run !run", "found '!run'"),
        ("particle~a* particle~b*", "particle~a\\* is there"),
        ("dataset=a:b dataset=a:c", "dataset=a:b is there"),
    ],
)
def test_a_condition_never_replaces_another(words: str, said: str) -> None:
    with pytest.raises(BadCatalogueField, match=said):
        query_of_words(words.split(), KEYS)


def test_the_same_condition_twice_is_one() -> None:
    assert query_of_words(["run=9", "run=9"], KEYS).document() == {"run": {"=": 9}}


def test_a_typed_value_becomes_what_its_key_has() -> None:
    assert value_of_text("20", KeyType.STRING, "") == "20"
    assert value_of_text("20", KeyType.NUMBER, "") == 20
    assert [value_of_text(text, None, "") for text in ("20", "2.5", "true", "x")] == [
        20,
        2.5,
        True,
        "x",
    ]
    with pytest.raises(BadCatalogueField):
        value_of_text("nan", KeyType.NUMBER, "run")


@pytest.mark.parametrize(
    ("copies", "state"),
    [
        ("", "Missing"),
        ("Available", "Available"),
        ("Bad Available", "Available"),
        ("Bad", "Lost"),
        ("Bad Bad", "Lost"),
        ("Bad Copying", "Missing"),
        ("Missing", "Missing"),
        ("Copying", "Missing"),
    ],
)
def test_the_state_of_a_file_follows_from_its_copies(copies: str, state: str) -> None:
    assert state_of([ReplicaState(word) for word in copies.split()]) is FileState(state)


@given(st.text(max_size=30), st.text(max_size=12))
def test_a_pattern_takes_what_it_stands_for_and_never_hangs(text: str, middle: str) -> None:
    query = parse_query({"k": {"like": "*" + "a*" * 6}})

    assert query.meets({"k": text}) is (text.count("a") >= 6)
    if text.isprintable() and not set("*?") & set(text):
        assert parse_query({"k": {"like": text}}).meets({"k": text})
        assert parse_query({"k": {"like": text + "*"}}).meets({"k": text + middle})


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_whatever_comes_as_a_query_is_taken_or_refused(garbage: Any) -> None:
    for document in (garbage, {"k": garbage}, {"k": {"in": garbage}}, {"k": {">": garbage}}):
        try:
            parse_query(document)
        except BadCatalogueField as why:
            assert why.field.startswith("query")


def test_a_path_is_bounded_in_characters_and_in_bytes() -> None:
    for good in ("a" * 1_024, "é" * 1_024, "𠀀" * 625):
        check_path(good)
    for bad in ("a" * 1_025, "𠀀" * 626):
        with pytest.raises(
            BadCatalogueField, match="at most 1024 printable characters and 2500 bytes"
        ):
            check_path(bad)
