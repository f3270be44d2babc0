"""Bodies of requests and answers about the outputs of many jobs."""

from typing import Annotated

from msgspec import Meta

from .bodies import ReplyStruct as _Out, RequestStruct as _In
from .jobs import Id, JobView, OutputView

FILES_A_REQUEST = 1_000


class JobOutputs(_Out, frozen=True):
    """A job with the files that it kept."""

    view: JobView
    index: int = 0  # place of the job in its submission, from 1
    parameters: dict[str, str | int | float] = {}  # its entry of the submission's `parameters`
    outputs: list[OutputView] = []


class OutputsPage(_Out, frozen=True):
    """A page of jobs with their outputs, in order of id. A page with many outputs is shorter."""

    jobs: list[JobOutputs]
    after: int | None = None


class OutputName(_In, frozen=True):
    job: Id
    name: Annotated[str, Meta(min_length=1, max_length=4_096)]


class OutputChoice(_In, frozen=True):
    """The outputs to fetch in one answer."""

    files: Annotated[tuple[OutputName, ...], Meta(max_length=FILES_A_REQUEST)]
