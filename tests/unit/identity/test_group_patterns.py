"""Which groups a pattern matches, and which patterns are refused."""

import time

import pytest

from pilotage.central.identity.providers.group_patterns import BadPattern, filled, parsed

URN = "urn:mace:egi.eu:group:ctao:{group}:role=member#aai.egi.eu"

#    pattern                   group                                     values
MATCHES: list[tuple[str, str, dict[str, str] | None]] = [
    ("/ctao/{group}", "/ctao/prod", {"group": "prod"}),
    ("/ctao/{group}", "/ctao/prod/mc", None),  # a name has no slash
    ("/ctao/{group}", "/ctao", None),  # a part does not imply the whole
    ("/ctao/{group}", "/ctao/", None),
    ("/ctao/{group}", "ctao/prod", None),  # as it is written, slash included
    ("/ctao/{group}", "/CTAO/prod", None),
    ("/ctao/{group}", "/ctao/prod\n", {"group": "prod\n"}),  # no valid group: skipped later
    ("/ctao/{group}", "x/ctao/prod", None),
    ("ctao/{group}", "ctao/prod", {"group": "prod"}),
    ("{group}", "prod", {"group": "prod"}),
    ("{group}-users", "mc-users", {"group": "mc"}),
    ("{group}-users", "mc-users-users", {"group": "mc-users"}),
    ("/{vo}/{group}", "/ctao/prod", {"vo": "ctao", "group": "prod"}),
    ("/ctao.{group}", "/ctaoxprod", None),  # a point is a point
    (URN, URN.format(group="prod"), {"group": "prod"}),
    (URN, "urn:mace:egi.eu:group:ctao:role=member#aai.egi.eu", None),
    (URN, URN.format(group="a:role=member:b"), None),
    (URN, URN.format(group="prod") + "x", None),
]


@pytest.mark.parametrize(("pattern", "group", "right"), MATCHES)
def test_a_pattern_matches_whole_names(
    pattern: str, group: str, right: dict[str, str] | None
) -> None:
    found = parsed(pattern)

    assert found is not None
    assert found.values(group) == right


def test_a_text_without_a_placeholder_is_no_pattern() -> None:
    assert parsed("/ctao/prod") is None


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("/ctao/{Group}", "use small letters, as in {group}"),
        ("/ctao/{}", "use small letters"),
        ("/ctao/{group", "a brace without its partner"),
        ("/ctao/}group{", "a brace without its partner"),
        ("/{group}/{group}", "a placeholder twice"),
        ("/{vo}-{group}", "put one of / : # between two placeholders"),
        ("/{a}/{b}/{c}/{d}/{e}", "more than 4 placeholders"),
    ],
)
def test_a_wrong_pattern_is_refused_with_the_right_form(pattern: str, said: str) -> None:
    with pytest.raises(BadPattern, match=said.replace("{", r"\{")):
        parsed(pattern)


def test_values_take_the_place_of_their_names_only_once() -> None:
    assert filled("{vo}/{group}", {"vo": "{group}", "group": "mc"}) == "{group}/mc"


def test_no_group_takes_long() -> None:
    pattern = parsed("/{a}-x/{b}-x/{c}-x/{d}-x")
    assert pattern is not None
    began = time.process_time()
    for _ in range(100):
        pattern.values("/" + "-x" * 250 + "/")

    assert time.process_time() - began < 0.5
