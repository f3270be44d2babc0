"""Journals as a pilot's lives find them: kill -9 loses nothing, a power cut what was not synced."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from pilotage.pilot.journal import FileJournal
from pilotage.pilot.ports import Journal
from tests.fake_pilot import FakeJournal
from tests.simulation.node_disk import DiskJournal

LOG = "attempts.log"


class OnFiles:
    """The shipped one. At a power cut the log ends where the last sync has found its end."""

    def __init__(self, path: Path) -> None:
        self._path, self._number = path, 0
        self._durable = 0
        self.journal: Journal = self._opened()

    def _opened(self) -> Journal:
        rig, folder = self, self._path / str(self._number)

        class Watched(FileJournal):
            def sync(self) -> None:
                super().sync()
                rig._durable = (folder / LOG).stat().st_size

        journal = Watched(folder)
        self._durable = (folder / LOG).stat().st_size
        return journal

    def restart(self) -> Journal:
        self.journal = self._opened()
        return self.journal

    def power_cut(self) -> Journal:
        before = self._path / str(self._number)
        self._number += 1
        shutil.copytree(before, self._path / str(self._number))
        with (self._path / str(self._number) / LOG).open("r+b") as log:
            log.truncate(self._durable)
        return self.restart()


class Fake:
    """The one of the tests of the pilot."""

    def __init__(self) -> None:
        self.journal: Journal = FakeJournal()

    def restart(self) -> Journal:
        return self.journal

    def power_cut(self) -> Journal:
        assert isinstance(self.journal, FakeJournal)
        self.journal.crash()
        return self.journal


class Simulated:
    """The one of the simulation: what was not synced may be there or not."""

    def __init__(self) -> None:
        self.journal: Journal = DiskJournal()
        self._chance = random.Random(7)

    def restart(self) -> Journal:
        return self.journal

    def power_cut(self) -> Journal:
        assert isinstance(self.journal, DiskJournal)
        self.journal.lose_power(self._chance)
        return self.journal


Rig = OnFiles | Fake | Simulated
RIGS: dict[str, Callable[[Path], Rig]] = {
    "files": OnFiles,
    "fake": lambda _: Fake(),
    "simulated": lambda _: Simulated(),
}
