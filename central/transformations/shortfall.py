"""Reads from the store which outputs of transformations are missing."""

from collections.abc import Mapping

from ..store.engine import Store
from . import record as transformation_records
from .live_state import OVER, document, parents_of
from .missing_outputs import MissingOutputs, below, joined, own, takes_all
from .record import TransformationRow


async def missing_of(
    store: Store, row: TransformationRow, known: Mapping[int, MissingOutputs]
) -> MissingOutputs:
    """Return the missing outputs of a transformation, with those of all above it.

    If it still works, everything not made yet is missing. `known`: results so far.
    """
    rows, todo = dict[int, TransformationRow](), [row]
    while todo:
        one = todo.pop()
        rows[one.transformation_id] = one
        for parent in parents_of(document(one)) - rows.keys() - known.keys():
            found = await store.read(transformation_records.transformation, parent)
            if found is not None:
                todo.append(found)
    counts = await store.read(transformation_records.transformation_counts, list(rows))
    have = dict(known)
    for its, one in sorted(rows.items()):  # parents have lower ids
        doc = document(one)
        above = joined(have[p] for p in parents_of(doc) if p in have)
        mine = own(one.name, doc, counts[its], one.tasks_wanted, works=one.state not in OVER)
        have[its] = below(mine, above)
    return have[row.transformation_id]


async def lacks_too_much(store: Store, row: TransformationRow) -> bool:
    """Return whether more inputs of a transformation are missing than it allows."""
    doc = document(row)
    if not takes_all(doc):
        return False
    missing: list[MissingOutputs] = []
    for parent in sorted(parents_of(doc)):
        found = await store.read(transformation_records.transformation, parent)
        if found is not None:
            missing.append(await missing_of(store, found, {}))
    return not joined(missing).is_within(doc.allow_partial)
