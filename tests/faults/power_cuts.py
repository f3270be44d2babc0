"""Power cuts: a recorded life of a process, ended at many moments, and what a restart finds."""

import random
import tempfile
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .disk import Disk, lay
from .recorded import Call, Replay, record

MEMORY: Final = Path("/dev/shm")  # thousands of small folders come and go: not on a disk
Look = Callable[[Path, Sequence[str]], Awaitable[list[str]]]


@dataclass(frozen=True)
class Life:
    """What one or several processes did to a folder, one after the other."""

    root: Path
    calls: list[list[Call]]
    found: Mapping[str, bytes | None] = field(default_factory=dict[str, bytes | None])  # at first
    said: tuple[str, ...] = ()  # before that

    @property
    def length(self) -> int:
        return sum(len(calls) for calls in self.calls)

    def replay(self) -> Iterator[Replay]:
        """Yield the state after each call; it is always the same object."""
        state = Replay(Disk(str(self.root), self.found))
        state.said += self.said
        for calls in self.calls:
            for call in calls:
                state.step(call)
                yield state
            state.process_ends()


def live(folder: Path, module: str, *lives: Sequence[str]) -> Life:
    """Run a module in `folder`/data once for each set of words; its page cache outlives it."""
    root = folder / "data"
    root.mkdir()
    return Life(
        root, [record(module, [str(root), *words], folder / "trace", root) for words in lives]
    )


def live_on(folder: Path, module: str, life: Life, moment: int, words: Sequence[str]) -> Life:
    """Cut the power of a life at a moment, and run the module on what is left of it."""
    for at, state in enumerate(life.replay()):
        if at == moment:
            root = folder / "data"
            root.mkdir(parents=True)
            left = state.disk.after_a_cut(random.Random(moment))
            lay(left, root)
            said = tuple(state.said)
            calls = record(module, [str(root), *words], folder / "trace", root)
            return Life(root, [calls], left, said)
    raise AssertionError(f"that life has {life.length} calls, not {moment}")


@contextmanager
def quick_folder() -> Generator[Path]:
    """Give a folder in memory where there is one."""
    place = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="pilotage-cut-", dir=place) as name:
        yield Path(name)


async def cut(life: Life, seed: int, cuts: int, look: Look) -> list[str]:
    """Cut the power `cuts` times at random moments; return what was lost, each with its cut."""
    chance = random.Random(seed)
    moments = sorted(chance.randrange(life.length) for _ in range(cuts))
    found: list[str] = []
    steps = enumerate(life.replay())
    at, state = next(steps)
    for number, moment in enumerate(moments):
        while at < moment:
            at, state = next(steps)
        left = state.disk.after_a_cut(random.Random(f"{seed} {number}"))
        with quick_folder() as folder:
            lay(left, folder)
            lost = await look(folder, state.said)
        found += [f"seed {seed}, cut {number} after call {moment}: {one}" for one in lost]
    return found
