"""What the providers of science communities say about a person: five shapes of claims.

They are those of Indigo IAM (its profiles `wlcg` and `iam`), Keycloak, EGI Check-in and CILogon.
"""

from collections.abc import Sequence
from typing import Any, Final

from pilotage.central.identity.providers.provider_files import (
    BearerRules,
    GroupClaims,
    MapRow,
    ProviderEntry,
)
from pilotage.proto.claims import Role

ISSUER: Final = "https://iam.test/"
AUDIENCE: Final = "https://central.test"


def told(profile: str, groups: Sequence[str], sub: str = "ada") -> dict[str, Any]:
    """Return the claims about somebody in these groups, which are written `/ctao/prod`."""
    bare = [one.removeprefix("/") for one in groups]
    urn = "urn:mace:egi.eu:group:{}:role=member#aai.egi.eu"
    claims: dict[str, dict[str, Any]] = {
        "wlcg": {"wlcg.ver": "1.0", "wlcg.groups": list(groups)},
        "iam": {"groups": bare, "organisation_name": "test", "preferred_username": sub},
        "keycloak": {"groups": list(groups), "realm_access": {"roles": ["offline_access", "boss"]}},
        "egi": {"eduperson_entitlement": [urn.format(one.replace("/", ":")) for one in bare]},
        "cilogon": {"isMemberOf": bare, "eppn": f"{sub}@example.org"},
    }
    return {"sub": sub, "name": sub.title(), **claims[profile]}


#  profile    its claim                 a row for admins, and one for each group
FORMS: Final = {
    "wlcg": ("wlcg.groups", "/ctao/admins", "/ctao/{group}"),
    "iam": ("groups", "ctao/admins", "ctao/{group}"),
    "keycloak": ("groups", "/ctao/admins", "/ctao/{group}"),
    "egi": (
        "eduperson_entitlement",
        "urn:mace:egi.eu:group:ctao:admins:role=member#aai.egi.eu",
        "urn:mace:egi.eu:group:ctao:{group}:role=member#aai.egi.eu",
    ),
    "cilogon": ("isMemberOf", "ctao/admins", "ctao/{group}"),
}


def row(
    match: str, *, community: str = "ctao", role: Role = Role.USER, groups: tuple[str, ...] = ()
) -> MapRow:
    """Return a row of a map."""
    return MapRow(match=match, community=community, role=role, groups=groups)


def an_entry(
    *rows: MapRow, claims: tuple[str, ...] = ("wlcg.groups",), **more: Any
) -> ProviderEntry:
    """Return a provider with these rows, which takes bearer tokens."""
    given: dict[str, Any] = {
        "issuer": ISSUER,
        "bearer": BearerRules(audiences=(AUDIENCE,)),
        "groups": GroupClaims(claims=claims),
        "map": rows,
    }
    return ProviderEntry(**given | more)


def of_profile(profile: str, **more: Any) -> ProviderEntry:
    """Return a provider whose admins are admins, and all others users of their groups."""
    claim, admins, pattern = FORMS[profile]
    return an_entry(
        row(admins, role=Role.ADMIN),
        row(pattern, groups=("{group}",)),
        claims=(claim,),
        **more,
    )
