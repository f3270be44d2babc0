"""`pilotage.Executor`: Python functions as jobs, behind the interface of `concurrent.futures`."""

import asyncio
import atexit
import concurrent.futures
import functools
import logging
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from pathlib import Path
from typing import Any, Final, Literal, ParamSpec, TypeVar

from pilotage.proto.documents.job import Job, Need

from ..blocking import Client
from .call_files import CallPickler, outcomes_in, value_of
from .call_jobs import CallJob, CallJobs
from .chunk_sizes import ChunkSizes
from .mapped_calls import MappedCalls

P = ParamSpec("P")
T = TypeVar("T")
_OURS: Final = ("command", "outputs")


class CallFuture(concurrent.futures.Future[T]):
    """The future of one call. `cancel` also ends a running call: it kills its job."""

    def __init__(self, call: "_SubmittedCall", on_cancel: Callable[[], None]) -> None:
        super().__init__()
        self._call, self._on_cancel = call, on_cancel
        self._deciding = threading.RLock()  # a call is either cancelled or settled

    @property
    def job(self) -> int:
        """The id of the job; 0 until the central has it."""
        return self._call.job

    def running(self) -> bool:
        """Return whether the job runs."""
        return self._call.is_running and not self.done()

    def cancel(self) -> bool:
        """Kill the job. Return False if the call has ended."""
        with self._deciding:
            if self.cancelled():
                return True
            if not super().cancel():
                return False
            self.set_running_or_notify_cancel()
        self._on_cancel()
        return True

    def settle(self, value: Any, error: BaseException | None = None) -> None:
        """Set the result or the exception, unless the call is cancelled."""
        with self._deciding:
            if self.cancelled():
                return
            self.set_running_or_notify_cancel()
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(value)


class _SubmittedCall(CallJob):
    """One call of `submit`."""

    is_running = False

    def __init__(
        self,
        jobs: CallJobs,
        on_cancel: Callable[["_SubmittedCall"], None],
        name: str,
        function: bytes,
        calls: bytes,
    ) -> None:
        super().__init__(name, function, calls)
        self._jobs = jobs
        self.future = CallFuture[Any](self, lambda: on_cancel(self))

    def began(self) -> None:
        self.is_running = True

    def ended(self) -> None:
        self._jobs.fetch(self)

    def came(self, results: Path) -> None:
        try:
            (outcome,) = outcomes_in(results)
            results.unlink()
            value = value_of(outcome)
        except BaseException as why:  # the function may raise anything, as may unpickling
            self.future.settle(None, why)
        else:
            self.future.settle(value)

    def failed(self, why: Exception) -> None:
        self.future.settle(None, why)


class Executor(concurrent.futures.Executor):
    """Runs Python functions as jobs, as an executor of `concurrent.futures` does.

    Each call of `submit` is a job. `map` puts many short calls into a job; `chunk` fixes their
    number. The job needs a `python` of the caller's version (major and minor) and these `modules`.
    `job` has other fields of a job, such as `group`, `inputs` or `environment`.
    """

    def __init__(
        self,
        *,
        needs: Need | Sequence[Need] = (),
        python: str = "python3",
        modules: Sequence[str] = (),
        chunk: int | Literal["auto"] = "auto",
        name: str = "",
        client: Client | None = None,
        **job: Any,
    ) -> None:
        if chunk != "auto" and chunk < 1:
            raise ValueError(f"chunk: found {chunk!r}, expected 'auto' or a number of calls")
        for word in _OURS:
            if word in job:
                raise TypeError(f"{word}: the executor sets it")
        job["needs"] = (needs,) if isinstance(needs, Need) else tuple(needs) or (Need(),)
        Job(command=(python,), **job)  # raises TypeError for an unknown field
        self._pickler = CallPickler()
        self._client, self._is_own = client or Client(), client is None
        self._chunk = None if chunk == "auto" else chunk
        self._folder = Path(tempfile.mkdtemp(prefix="pilotage-executor-"))
        self._jobs = CallJobs(
            self._client.core,
            self._folder,
            name=name,
            command=(python,),
            modules=modules,
            fields=job,
        )
        self._lock = threading.Lock()
        self._run: concurrent.futures.Future[None] | None = None
        self._ending: concurrent.futures.Future[None] | None = None
        self._futures: set[concurrent.futures.Future[Any]] = set()
        self._maps: list[tuple[MappedCalls, concurrent.futures.Future[None]]] = []
        # Results of a map may be read after the executor, so its folder lives as long as they do.
        weakref.finalize(self._jobs, shutil.rmtree, self._folder, ignore_errors=True)
        atexit.register(self._at_exit)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> CallFuture[T]:
        """Run `fn(*args, **kwargs)` as a job. Raises what pickling raises."""
        function = self._pickler.pickled(fn, fn)
        calls = self._pickler.pickled([(args, kwargs)], fn)
        call = _SubmittedCall(self._jobs, self._cancel, _name_of(fn), function, calls)
        with self._lock:
            self._start()
            self._futures.add(call.future)
            self._client.loop.call_soon(lambda: self._jobs.send([call]))
        call.future.add_done_callback(self._futures.discard)
        return call.future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
    ) -> Iterator[T]:
        """Yield `fn(*arguments)` for each set of arguments, in order.

        The arguments are taken in another thread, as jobs are sent. `chunksize` is the number of
        calls in a job (default: that of the executor). The first exception of a call, or leaving
        the iterator early, kills the other jobs.
        """
        if chunksize is not None and chunksize < 1:
            raise ValueError("chunksize must be >= 1")
        sized = [len(one) for one in iterables if isinstance(one, Sized)]
        total = min(sized, default=0) if len(sized) == len(iterables) else None
        mapped = MappedCalls(
            self._jobs,
            self._client.loop,
            lambda calls: self._pickler.pickled(calls, fn),
            name=_name_of(fn),
            function=self._pickler.pickled(fn, fn),
            arguments=zip(*iterables, strict=False),
            sizes=ChunkSizes(total, chunksize or self._chunk),
        )
        with self._lock:
            self._start()
            self._maps = [one for one in self._maps if not one[0].is_done]
            self._maps.append((mapped, self._client.loop.start(mapped.feed())))
        return mapped.results(timeout)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. With `wait`, return when all have ended.

        `cancel_futures` kills their jobs. Results of a map can be read afterwards.
        """
        with self._lock:
            run, is_first = self._run, self._ending is None
            if run is not None and is_first:
                self._ending = self._client.loop.start(self._end(run))
            elif is_first:
                self._ending = concurrent.futures.Future()
                self._ending.set_result(None)
            ending = self._ending
        if cancel_futures:
            for future in tuple(self._futures):
                future.cancel()
            for mapped, _ in self._maps:
                mapped.cancel()
        if wait and ending is not None:
            ending.result()
            self._close()

    # -- inside ---------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._ending is not None:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self._run is None:
            self._run = self._client.loop.start(self._jobs.run())
        if self._run.done():
            why = None if self._run.cancelled() else self._run.exception()
            raise RuntimeError("the executor has ended, perhaps with its client") from why

    def _cancel(self, call: _SubmittedCall) -> None:
        self._client.loop.call_soon(lambda: self._jobs.cancel(call))

    async def _end(self, run: "concurrent.futures.Future[None]") -> None:
        for mapped, feeding in self._maps:
            mapped.finish()
            await asyncio.wrap_future(feeding)
        await self._jobs.settled()
        for mapped, _ in self._maps:
            mapped.is_over = True
        run.cancel()

    def _close(self) -> None:
        atexit.unregister(self._at_exit)
        with self._lock:
            is_own, self._is_own = self._is_own, False
        if is_own:
            self._client.close()

    def _at_exit(self) -> None:
        if unsent := self._jobs.unsent:
            logging.getLogger(__name__).warning(
                "%d calls were not sent: leave an Executor by `with` or shutdown()", unsent
            )


def _name_of(function: object) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__qualname__", type(function).__name__))
