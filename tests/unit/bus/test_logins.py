"""Who may enter the embedded broker, and whose topics are whose."""

import pytest

from pilotage.central.bus.errors import BadName
from pilotage.central.bus.logins import Logins, check_names
from pilotage.proto import topics
from pilotage.proto.topics import TopicKind


def logins() -> Logins:
    some = Logins("central-x", "word of the central")
    some.add("ctao", "p1", "word of p1")
    some.add("ctao", "p2", "word of p2")
    return some


def test_only_the_right_password_of_a_known_user_counts() -> None:
    some = logins()

    assert some.knows("p1", "word of p1")
    assert some.knows("central-x", "word of the central")
    assert not some.knows("p1", "word of p2")
    assert not some.knows("p3", "word of the central")
    assert not some.knows("", "")


def test_a_new_password_replaces_the_old_one() -> None:
    some = logins()
    some.add("ctao", "p1", "new")

    assert some.knows("p1", "new")
    assert not some.knows("p1", "word of p1")


def test_a_removed_pilot_may_nothing_more() -> None:
    some = logins()

    assert not some.remove("lhcb", "p1")  # another community's
    assert some.remove("ctao", "p1")
    assert not some.remove("ctao", "p1")
    assert not some.knows("p1", "word of p1")
    assert not some.may_publish("p1", topics.up("ctao", "p1", TopicKind.BEAT))
    assert not some.may_read("p1", topics.down("ctao", "p1"))


#    user       verb     topic                          may
TABLE = """
     p1         publish  pilotage/1/ctao/p/p1/up/beat   yes
     p1         publish  pilotage/1/ctao/p/p1/up/log    yes
     p1         publish  pilotage/1/ctao/p/p1/up/will   yes
     p1         publish  pilotage/1/ctao/p/p1/up/other  no
     p1         publish  pilotage/1/ctao/p/p1/down      no
     p1         publish  pilotage/1/ctao/p/p2/up/beat   no
     p1         publish  pilotage/1/lhcb/p/p1/up/beat   no
     p1         publish  pilotage/1/ctao/p/p2/down      no
     p1         read     pilotage/1/ctao/p/p1/down      yes
     p1         read     pilotage/1/ctao/p/p2/down      no
     p1         read     pilotage/1/ctao/p/+/down       no
     p1         read     pilotage/1/ctao/p/p1/up/beat   no
     p1         read     #                              no
     p1         read     $SYS/#                         no
     central-x  publish  pilotage/1/ctao/p/p2/down      yes
     central-x  read     pilotage/1/+/p/+/up/+          yes
     stranger   publish  pilotage/1/ctao/p/p1/up/beat   no
     stranger   read     pilotage/1/ctao/p/p1/down      no
"""


def test_rights_are_as_the_table_says() -> None:
    some = logins()
    for line in TABLE.strip().splitlines():
        user, verb, topic, may = line.split()
        answer = (some.may_publish if verb == "publish" else some.may_read)(user, topic)

        assert answer is (may == "yes"), line


@pytest.mark.parametrize(
    ("community", "pilot"),
    [("ctao", "+"), ("#", "p"), ("a/b", "p"), ("a", "p/q"), ("", "p"), ("a", ""), ("a+", "p")],
)
def test_names_that_change_a_topic_are_refused(community: str, pilot: str) -> None:
    with pytest.raises(BadName):
        check_names(community, pilot)


def test_no_pilot_gets_the_name_of_the_central() -> None:
    with pytest.raises(BadName):
        logins().add("ctao", "central-x", "x")
