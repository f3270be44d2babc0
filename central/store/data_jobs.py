"""Jobs that read and write data, as a store keeps them: what goes beyond `store.catalogue`.

What a job reads and where it stores is written with its row (`NewJob.inputs`, `NewJob.stores`),
what it publishes with its result (`End.publication`). What its attempts may leave behind is in
`remnants`.
"""

from typing import Final

FILES_MAX: Final = 100_000  # of one of a job's inputs
GENERATION_SHOWN: Final = 8  # signs of it in paths


def folder_of(community: str, generation: str, job: int, epoch: int) -> str:
    """Return where an attempt stores, below each storage's URL: a place of its own.

    Two centrals may share a storage, and one that was restored gives the ids of jobs anew: what
    tells them apart is the generation of the store.
    """
    return f"{community}/{generation[:GENERATION_SHOWN]}/{job}/{epoch}"
