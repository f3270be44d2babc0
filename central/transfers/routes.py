"""Routes of rules for copies, and of the removal of bytes that no catalogue entry needs."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pilotage.proto.api import data, remnants as api_remnants
from pilotage.proto.ids import ID_MAX
from pilotage.proto.problems import Code

from ..errors import Refused
from ..http.call import Call
from ..http.route import Routes
from ..identity.calls import user
from ..identity.policy import Permission
from .service import RuleService
from .sweep_service import SweepService

ROUTES: Final = Routes[RuleService]()
SWEEP_ROUTES: Final = Routes[SweepService]()


class RemnantsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selects a page of remnants."""

    storage: Annotated[str, Meta(max_length=64)] = ""  # empty: all storages
    all: bool = False  # also those that are not due yet, and those that stay
    after: Annotated[int, Meta(ge=0, le=ID_MAX)] = 0
    limit: data.PageLimit = 100


@ROUTES.add("POST", "/v1/data/rules", Permission.DATA_WRITE, creates=True)
async def add(rules: RuleService, call: Call, body: data.RuleRequest) -> data.RuleView:
    """Keep copies of files. Jobs make the missing ones."""
    return await rules.add(user(call), body)


@ROUTES.add("GET", "/v1/data/rules", Permission.DATA_READ)
async def several(rules: RuleService, call: Call) -> data.RuleList:
    """List rules with their progress."""
    return await rules.all(user(call))


@ROUTES.add("GET", "/v1/data/rules/{rule}", Permission.DATA_READ)
async def one(rules: RuleService, call: Call) -> data.RuleView:
    """Show one rule."""
    return await rules.show(user(call), _rule_id(call))


@ROUTES.add("DELETE", "/v1/data/rules/{rule}", Permission.DATA_WRITE)
async def drop(rules: RuleService, call: Call) -> None:
    """Drop a rule. The copies stay."""
    await rules.drop(user(call), _rule_id(call))


@ROUTES.add("POST", "/v1/data/rules/{rule}/retry", Permission.DATA_WRITE)
async def retry(rules: RuleService, call: Call) -> data.RuleView:
    """Retry failed and stuck copies."""
    return await rules.retry(user(call), _rule_id(call))


@SWEEP_ROUTES.add("GET", "/v1/data/sweep", Permission.DATA_READ)
async def sweep(sweeps: SweepService, call: Call) -> api_remnants.SweepView:
    """Count bytes that no catalogue entry needs, by storage: waiting, in removal, removed and
    failed.
    """
    return await sweeps.counts(user(call))


@SWEEP_ROUTES.add("GET", "/v1/data/sweep/remnants", Permission.DATA_READ)
async def remnants(
    sweeps: SweepService, call: Call, query: RemnantsQuery
) -> api_remnants.RemnantPage:
    """List bytes that no catalogue entry needs: those due for removal, or all."""
    return await sweeps.remnants(
        user(call), storage=query.storage, all=query.all, after=query.after, limit=query.limit
    )


def _rule_id(call: Call) -> int:
    text = call.path("rule")
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise Refused(Code.NOT_FOUND, f"there is no rule {text[:40]!r}", field="rule")
    return int(text)
