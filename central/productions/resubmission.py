"""Checks whether a submission under a taken name is the same production. Pure."""

from pilotage.proto.problems import Code

from ..errors import Refused
from .definition import details_of
from .record import NewProductionRow, ProductionRow, ProductionTexts


def check_same(
    row: ProductionRow,
    texts: ProductionTexts,
    new: NewProductionRow,
    *,
    says: frozenset[str],
    reads: bool,
) -> None:
    """Raise Refused if `new` is another production than that of its name.

    `says`: which of title, priority and rules the request gives. The others are not compared: a
    user who submits a file again need not repeat them. `reads`: whether the caller may read the
    existing production.
    """
    if (row.sha256, row.group, row.owner_id) != (new.sha256, new.group, new.owner_id):
        raise taken(row, reads=reads)
    at_first = details_of(texts.details).priority
    if "priority" in says and new.priority not in (row.priority, at_first):
        was = "as each job says" if row.priority is None else str(row.priority)
        why = f"its priority is {was}, not {new.priority}: change it with `prod priority`"
        raise _other(row, "priority", why)
    if "rules" in says and new.rules != texts.rules:
        raise _other(row, "rules", "its failover rules differ and cannot change")
    if "title" in says and new.title != row.title:
        raise _other(row, "title", f"its title is {row.title!r}, not {new.title!r}")


def taken(row: ProductionRow, *, reads: bool) -> Refused:
    """Return the refusal of a taken name.

    Only a caller who `reads` the other production gets its id.
    """
    text = (
        f"name: {row.name!r} is taken by another user of the community: choose another name "
        "(`prod submit --name`)"
    )
    if reads:
        text = (
            f"name: {row.name!r} is the name of production {row.production_id}, which is a "
            "different one: correct it (`prod submit --correct`), choose another name "
            "(`prod submit --name`), or archive or clean that one"
        )
    return Refused(Code.KEY_REUSED, text, field="name")


def _other(row: ProductionRow, field: str, why: str) -> Refused:
    text = (
        f"{field}: production {row.production_id}, {row.name!r}, exists already, and {why}; or "
        "choose another name (`prod submit --name`), or archive or clean that one"
    )
    return Refused(Code.KEY_REUSED, text, field=field)
