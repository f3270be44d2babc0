"""What the settings name and nobody knows."""

from pilotage.central.operate.unknown_names import strangers, unused
from pilotage.central.settings import CommunitySettings, MatcherSettings
from pilotage.matcher.rules import RunningLimit

KNOWN = [("local", "users"), ("local", "simulation"), ("ctao", "")]


def test_shares_and_limits_of_what_nobody_knows_are_told() -> None:
    settings = MatcherSettings(
        shares={
            "local/users": 2,
            "local/users/ada": 3,
            "local/simulatoin": 1,
            "locall/users": 1,
            "ctao/x": 1,
        },
        running=(
            RunningLimit(where="PIC", by="group", value="users", most=1),
            RunningLimit(where="PIC", by="group", value="user", most=1),
            RunningLimit(where="PIC", by="owner", value="eve", most=1),
        ),
    )

    assert list(strangers(settings, KNOWN)) == [
        (
            "matcher.shares.local/simulatoin",
            "no group 'simulatoin' in 'local': did you mean 'simulation'?",
        ),
        ("matcher.shares.locall/users", "no community 'locall': did you mean 'local'?"),
        ("matcher.shares.ctao/x", "no group 'x' in 'ctao'"),
        ("matcher.running[1]", "no group 'user': did you mean 'users'?"),
    ]


def test_an_administrator_of_one_community_is_told_of_the_others() -> None:
    settings = CommunitySettings(name="ctao", groups=("dpps",), others=("lst",))

    assert unused(settings, "", ()) == ""
    assert unused(settings, "ctao", ("dpps",)) == (
        "community.others has lst, the administrator's token is for 'ctao' only"
    )
