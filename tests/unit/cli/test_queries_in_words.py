"""A query is shown as it is typed: what is shown, typed again, is the same query."""

import pytest

from pilotage.central.cli.data.catalogue import EXAMPLES
from pilotage.central.cli.presentation import query_in_words
from pilotage.proto.catalogue import KeyType, query_of_words

KEYS = {"particle": KeyType.STRING, "run": KeyType.NUMBER, "good": KeyType.BOOLEAN}


@pytest.mark.parametrize(
    "words",
    [
        "particle=gamma",
        "run=1,5",
        "run!=1,5",
        "run<40 run>=20",
        "particle~gam*",
        "good=true run!=2.5",
        "!good run",
        "dataset=users:good particle!=proton",
    ],
)
def test_a_query_is_shown_as_it_is_typed(words: str) -> None:
    query = query_of_words(words.split(), KEYS)
    shown = query_in_words(query.document())

    assert sorted(shown.split()) == sorted(words.split())
    assert query_of_words(shown.split(), KEYS) == query


def test_a_plain_value_is_one_too() -> None:
    assert query_in_words({"particle": "gamma"}) == "particle=gamma"


def test_the_examples_that_the_help_gives_are_conditions() -> None:
    keys = {**KEYS, "key": KeyType.STRING, "thetaP": KeyType.NUMBER, "nsb": KeyType.NUMBER}
    words = EXAMPLES.replace("SCOPE:NAME", "ctao:good").split()

    assert [list(query_of_words([word], keys).document()) for word in words] == [
        *(["run"], ["thetaP"], ["nsb"], ["particle"], ["key"], ["key"], ["dataset"]),
    ]
