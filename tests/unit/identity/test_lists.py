"""Who may see which tokens and sessions, and the pages of their lists."""

from dataclasses import dataclass

import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity import lists
from pilotage.central.identity.policy import Reach
from pilotage.central.identity.sessions import listing
from pilotage.central.identity.sessions.rows import LoginSession, SessionKind
from pilotage.proto.claims import Role
from tests.unit.identity.issuer import ISSUER, person


@dataclass(frozen=True)
class Rights:
    issuer: str = ISSUER
    subject: str = "ada"
    community: str = "ctao"
    groups: tuple[str, ...] = ("sim",)
    role: str = "user"

    def session(self) -> LoginSession:
        return LoginSession(
            session="s1",
            kind=SessionKind.COMMAND,
            provider="iam",
            issuer=self.issuer,
            subject=self.subject,
            name="",
            email="",
            community=self.community,
            groups=self.groups,
            role=self.role,
            host="",
            address="",
            created_at=0.0,
            ends_at=1.0,
            used_at=0.0,
            checked_at=0.0,
        )


# The caller is ada of ctao, a manager of the groups sim and mc.
TABLE = [
    # rights, reach, whether a token is visible, whether a session is
    (Rights(), Reach.OWN, True, True),
    (Rights(subject="bob"), Reach.OWN, False, False),
    (Rights(issuer="https://iam.test/"), Reach.OWN, False, False),
    (Rights(role="admin"), Reach.OWN, False, True),
    (Rights(groups=("prod",)), Reach.OWN, False, True),
    (Rights(community="lst"), Reach.OWN, False, True),
    (Rights(community="lst", issuer="https://iam.test/"), Reach.OWN, False, False),
    (Rights(subject="bob"), Reach.GROUP, True, True),
    (Rights(subject="bob", groups=()), Reach.GROUP, False, False),
    (Rights(subject="bob", groups=("sim", "prod")), Reach.GROUP, False, False),
    (Rights(subject="bob", role="admin"), Reach.GROUP, False, False),
    (Rights(subject="bob", groups=("prod",)), Reach.COMMUNITY, True, True),
    (Rights(subject="bob", community="lst"), Reach.COMMUNITY, False, False),
    (Rights(subject="bob", community="lst"), Reach.ALL, True, True),
    (Rights(subject="bob", role="admin"), Reach.ALL, False, False),
]


@pytest.mark.parametrize(("rights", "reach", "token", "session"), TABLE)
def test_wider_rights_are_hidden_except_ones_own_sessions(
    rights: Rights, reach: Reach, token: bool, session: bool
) -> None:
    ada = person(Role.MANAGER, groups=("sim", "mc"))

    assert lists.is_visible(rights, ada, reach) is token
    assert listing.is_visible(rights.session(), ada, reach) is session


def test_a_cursor_names_the_start_of_its_page_exactly() -> None:
    start = (1_800_000_000.1, "a:b")

    assert lists.start_of(lists.cursor(*start)) == start
    assert lists.start_of("") == lists.FIRST_PAGE


@pytest.mark.parametrize("after", ["x", "nan:s1", "inf:s1", ":", "yesterday:s1"])
def test_another_text_is_no_cursor(after: str) -> None:
    with pytest.raises(Refused, match="expected the value `after` of the previous page"):
        lists.start_of(after)
