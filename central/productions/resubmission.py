"""Whether what is submitted under a name that is taken is the same production. Pure."""

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
    """Raise Refused where `new` is another production than that of its name.

    `says`: which of title, priority and rules were handed in with it. What was not is not compared:
    whoever submits a file again need not say anew what the production has been given. `reads`:
    whether the caller may read the production that is there.
    """
    if (row.sha256, row.group, row.owner_id) != (new.sha256, new.group, new.owner_id):
        raise taken(row, reads=reads)
    at_first = details_of(texts.details).priority
    if "priority" in says and new.priority not in (row.priority, at_first):
        was = "as each job says" if row.priority is None else str(row.priority)
        why = f"its priority is {was}, not {new.priority}: `prod priority` changes it"
        raise _other(row, "priority", why)
    if "rules" in says and new.rules != texts.rules:
        raise _other(row, "rules", "it was submitted with other rules of failover, and keeps them")
    if "title" in says and new.title != row.title:
        raise _other(row, "title", f"its title is {row.title!r}, not {new.title!r}")


def taken(row: ProductionRow, *, reads: bool) -> Refused:
    """Return why a name cannot be that of another production.

    Only a caller who `reads` the other one is told which it is.
    """
    said = (
        f"name: {row.name!r} is taken by somebody else of the community: take another name "
        "(`prod submit --name`)"
    )
    if reads:
        said = (
            f"name: {row.name!r} is the name of production {row.production_id}, which is another "
            "one: take another name (`prod submit --name`) also for what was corrected, or archive "
            "or clean that one"
        )
    return Refused(Code.KEY_REUSED, said, field="name")


def _other(row: ProductionRow, field: str, why: str) -> Refused:
    said = (
        f"{field}: production {row.production_id}, {row.name!r}, was there already, and {why}; or "
        "take another name (`prod submit --name`), or archive or clean that one"
    )
    return Refused(Code.KEY_REUSED, said, field=field)
