"""Jobs that read and write data, as a store keeps them: what goes beyond `store.catalogue`.

What a job reads is written with its row (`NewJob.inputs`), what it publishes with its result
(`End.publication`).
"""

from typing import Final, Protocol

from .records import JobInput

FILES_MAX: Final = 100_000  # of one of a job's inputs


class DataJobs(Protocol):
    """The verbs."""

    async def inputs_of_job(self, job_id: int) -> list[JobInput]:
        """Return what a job reads, in its order, each with the number of the input it is of."""
        ...
