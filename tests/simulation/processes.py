"""Hosts and processes of a simulated world, and the event loop that they share.

Everything that runs on the loop carries, in its context, the process that it belongs to. So a
process can be killed, stopped or frozen between any two steps of it, as a signal would do it: what
it still had to do is put aside, and no `finally` of it runs. Each host has a clock of its own rate;
`loop.time()` answers with the clock of the host that asks.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from typing import Any

from tests.virtual import START_S, Deadlock, TooLong, VirtualLoop

TICK_S = 1e-6
MOMENT_S = 0.1
STEPS_A_MOMENT_MAX = 20_000  # in so short a time: then something spins


class Killed(BaseException):
    """Ends the step of a process that was killed inside a call that cannot wait."""


class Spins(Exception):
    """Somebody is busy without end."""


class Host:
    """A machine: its clock drifts, and it can be suspended."""

    def __init__(self, name: str, rate: float = 1.0) -> None:
        self.name, self.rate = name, rate
        self.suspended_s = 0.0  # in all, in seconds of the world
        self.suspended_at: float | None = None
        self.wall_jump_s = 0.0
        self.boots = 1
        self.processes: list[Process] = []
        self.sleeps: list[Callable[[], None]] = []  # called with each suspension
        self.woken: list[Callable[[], None]] = []  # and after it
        self.late: list[tuple[float, Step]] = []

    @property
    def boot(self) -> str:
        """What names this boot."""
        return f"{self.name}-{self.boots}"

    def boottime(self, world_s: float) -> float:
        """CLOCK_BOOTTIME: goes on while the host is suspended."""
        return START_S + (world_s - START_S) * self.rate

    def monotonic(self, world_s: float) -> float:
        """CLOCK_MONOTONIC, on which the loop's timers stand."""
        return START_S + (world_s - START_S - self.suspended_s) * self.rate

    def world_s(self, monotonic: float) -> float:
        """When this host's CLOCK_MONOTONIC will show so much, if it is not suspended meanwhile."""
        return START_S + (monotonic - START_S) / self.rate + self.suspended_s


class Process:
    """What dies, stops and lives as one."""

    def __init__(self, loop: "HostLoop", host: Host, name: str) -> None:
        self.loop, self.host, self.name = loop, host, name
        self.dead = self.stopped = False
        self.halted = host.suspended_at is not None  # dead, stopped, or its host is suspended
        self.fuse = -1  # it dies before so many further steps
        self.died: list[Callable[[], None]] = []  # what others see of its death, at once
        self.put_aside: list[Step] = []
        self.services: Any = None  # of a central that runs in it
        self.tokens: Any = None
        self.elsewhere: Any = None  # of a central that does not lead
        self.owners: Any = None
        self.holder = ""  # its name in the leader row
        self.context: Context = copy_context()
        self.context.run(HERE.set, self)
        host.processes.append(self)

    def start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run a coroutine as a task of this process."""
        return self.context.copy().run(self.loop.create_task, work)

    def soon(self, what: Callable[..., None], *args: Any) -> None:
        """Call something as a step of this process."""
        self.loop.call_soon(what, *args, context=self.context.copy())

    def kill(self) -> None:
        """SIGKILL."""
        if not self.dead:
            self.dead = self.halted = True
            self.host.processes.remove(self)
            for tell in self.died:
                tell()

    def stop(self) -> None:
        """SIGSTOP."""
        self.stopped = self.halted = True

    def go_on(self) -> None:
        """SIGCONT."""
        self.stopped = False
        self.look()

    def look(self) -> None:
        """Go on if nothing holds it any more."""
        self.halted = self.dead or self.stopped or self.host.suspended_at is not None
        if not self.halted:
            self.release()

    def release(self) -> None:
        aside, self.put_aside = self.put_aside, []
        self.loop.run_again(aside)


HERE: ContextVar[Process | None] = ContextVar("HERE", default=None)


class Step:
    """A call that the loop has yet to make: what `call_soon` and `call_at` return."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "world_s")

    def __init__(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context, world_s: float
    ) -> None:
        self.callback, self.args, self.context = callback, args, context
        self.world_s = world_s  # when it is due
        self.is_cancelled = False

    def cancel(self) -> None:
        """Never make the call. It is left out when its time comes."""
        self.is_cancelled = True
        self.callback, self.args = _nothing, ()

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        return self.world_s


class HostLoop(VirtualLoop):
    """A virtual loop for many hosts. `quiet` is called when nothing more can happen at a moment."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(limit_s)
        self.steps = 0
        self.quiet: Callable[[], None] = _nothing
        self.ended: list[Process] = []
        self._timers: list[tuple[float, int, Step, Host | None, float]] = []
        self._order = 0
        self._queue: list[Step] = []
        self._moment, self._moment_at = 0, START_S

    def time(self) -> float:
        here = HERE.get()
        return self.now if here is None else here.host.monotonic(self.now)

    # -- what the loop of asyncio does, less sockets and signals ----------------------------------

    get_debug = staticmethod(bool)  # False. Each future asks, so it must cost nothing

    def _asyncgen_finalizer_hook(self, agen: AsyncGenerator[Any, Any]) -> None:
        """Close no generator that a killed process has left: it runs nothing any more."""

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Step:
        step = Step(callback, args, copy_context() if context is None else context, 0.0)
        self._queue.append(step)
        return step

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Step:
        here = HERE.get()
        return self._due(when, None if here is None else here.host, callback, args, context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Step:
        here = HERE.get()
        if here is None:
            return self._due(self.now + delay, None, callback, args, context)
        when = here.host.monotonic(self.now) + delay
        return self._due(when, here.host, callback, args, context)

    def _due(
        self,
        when: float,
        host: Host | None,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        context: Context | None,
    ) -> Step:
        """Call something when the host's clock, or that of the world, shows `when`."""
        if context is None:
            context = copy_context()
        if host is None:
            return self._at(when, None, callback, args, context)
        # Some time passes for any wait: clocks that are rounded must not stand still.
        world_s, soonest = host.world_s(when), self.now + TICK_S
        return self._at(max(world_s, soonest), host, callback, args, context)

    def at(
        self, world_s: float, process: Process | None, callback: Callable[..., Any], *args: Any
    ) -> Step:
        """Call something at a time of the world: as a step of a process, or of nobody."""
        context = (_NOBODY if process is None else process.context).copy()
        return self._at(world_s, None, callback, args, context)

    def at_host(
        self, world_s: float, process: Process, callback: Callable[..., Any], *args: Any
    ) -> Step:
        """Likewise, on the timers of the process' host: they stand while it is suspended."""
        return self._at(world_s, process.host, callback, args, process.context.copy())

    def _at(
        self,
        world_s: float,
        host: Host | None,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        context: Context,
    ) -> Step:
        step = Step(callback, args, context, world_s)
        self._push(world_s, step, host)
        return step

    def _push(self, world_s: float, step: Step, host: Host | None) -> None:
        self._order += 1
        slept_s = 0.0 if host is None else host.suspended_s
        heappush(self._timers, (world_s, self._order, step, host, slept_s))

    def run_again(self, steps: list[Step]) -> None:
        self._queue.extend(steps)

    def _run_once(self) -> None:
        if not self._queue:
            self._let_time_pass()
        queue, self._queue = self._queue, []
        self._moment += len(queue)
        if self._moment > STEPS_A_MOMENT_MAX:
            self._moment = 0
            raise Spins(f"at {self.now - START_S:.3f}: {queue[-1].callback!r}")
        for step in queue:
            if step.is_cancelled:
                continue
            context = step.context
            process = context.get(HERE)
            if process is not None:
                if process.halted:
                    process.put_aside.append(step)
                    continue
                if process.fuse >= 0:
                    process.fuse -= 1
                    if process.fuse < 0:
                        process.put_aside.append(step)
                        process.kill()
                        continue
            self.steps += 1
            try:
                context.run(step.callback, *step.args)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as why:
                message = f"exception in callback {step.callback!r}"
                self.call_exception_handler({"message": message, "exception": why, "handle": step})

    def _let_time_pass(self) -> None:
        timers, now = self._timers, self.now
        while timers and timers[0][2].is_cancelled:
            heappop(timers)
        if not timers:
            raise Deadlock(sorted(repr(task.get_coro()) for task in asyncio.all_tasks(self)))
        if timers[0][0] > now:
            self.quiet()
            if self._queue:
                return
            now = self.now = timers[0][0]
            if now > self._moment_at + MOMENT_S:
                self._moment_at, self._moment = now, 0
            if now > self._until_s:
                raise TooLong(f"{now - START_S:.0f} s of virtual time have passed")
        while timers and timers[0][0] <= now:
            when, _, step, host, slept_s = heappop(timers)
            if step.is_cancelled:
                continue
            if host is None or (host.suspended_at is None and host.suspended_s == slept_s):
                self._queue.append(step)
            elif host.suspended_at is not None:
                host.late.append((when - slept_s, step))
            else:  # the host's clock stood still meanwhile
                self._push(when - slept_s + host.suspended_s, step, host)

    # -- hosts ------------------------------------------------------------------------------------

    def suspend(self, host: Host) -> None:
        """Freeze everything on a host, its monotonic clock too."""
        if host.suspended_at is None:
            host.suspended_at = self.now
            for process in host.processes:
                process.halted = True
            for tell in host.sleeps:
                tell()

    def wake(self, host: Host) -> None:
        """Let a suspended host go on."""
        if host.suspended_at is None:
            return
        host.suspended_s += self.now - host.suspended_at
        host.suspended_at = None
        late, host.late = host.late, []
        for when, step in late:
            self._push(when + host.suspended_s, step, host)
        for process in list(host.processes):
            process.look()
        for tell in host.woken:
            tell()

    def revive(self, processes: list[Process]) -> None:
        """The world is over: let all tasks run to their end, of the dead too."""
        self.quiet = _nothing
        for host in {process.host: None for process in processes}:
            if host.suspended_at is not None:
                host.sleeps.clear()
                host.woken.clear()
                self.wake(host)
        for process in processes:
            process.dead = process.stopped = process.halted = False
            process.fuse = -1
            process.release()


def _nothing() -> None:
    pass


_NOBODY = Context()
