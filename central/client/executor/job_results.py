"""The result of a job that an `Executor` has sent, for a program that comes later."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CallFailed, NotFound
from .call_files import outcomes_in, value_of
from .call_jobs import failure_of
from .call_worker import RESULTS_FILE

if TYPE_CHECKING:
    from ..client import AsyncClient


async def result_of(client: "AsyncClient", job: int, timeout_s: float | None) -> Any:
    """Return the value of a call, or the values of several.

    Raises the exception of a call, CallFailed if the job has no results, and TimedOut. It unpickles
    nothing of other people's jobs, because a pickle can run any code.
    """
    view = await client.job(job).wait(timeout_s)
    me = await client.whoami()
    if (view.owner, view.community) != (me.subject, me.community):
        raise CallFailed(job, f"it belongs to {view.owner}, and only your own results are read")
    with tempfile.TemporaryDirectory(prefix="pilotage-result-") as folder:
        try:
            results = await client.download(job, RESULTS_FILE, Path(folder))
        except NotFound:
            raise await failure_of(client, view) from None
        outcomes = outcomes_in(results)
    values = [value_of(one) for one in outcomes]
    return values[0] if len(values) == 1 else values
