"""Jobs with data in the store in memory: what they read, and what results publish."""

from pilotage.central.store.records import End, JobInput

from .fake_store_catalogue import FakeCatalogue
from .fake_store_rows import Data, Job


class FakeDataJobs(FakeCatalogue):
    """The catalogue, and the jobs that use it."""

    _data: Data

    async def inputs_of_job(self, job_id: int) -> list[JobInput]:
        job = self._data.jobs.get(job_id)
        return list(job.new.inputs) if job is not None else []

    def keep_inputs(self, job: Job) -> None:
        """Note what a new job reads."""
        self.may_leave(job.job_id)
        if job.new.inputs:
            self.keep_job_inputs(job.job_id, [one.file_id for one in job.new.inputs])

    def published(self, change: End) -> End:
        """Publish what a result has, and return what is written of it."""
        publication = change.publication
        if publication is None:
            return change
        files = publication.files
        outcomes = self.publish_files(publication.community, files, at=change.at)
        clashes = [
            f"{file.did}: {outcome.clash}"
            for file, outcome in zip(files, outcomes, strict=True)
            if outcome.clash is not None
        ]
        publication.clash = clashes[0] if clashes else ""
        return publication.as_refused() if publication.clash else change
