"""A central is upgraded under pilots that run: they go on, until they are two versions behind.

The later releases are made of this one: another version and protocol, messages with fields that a
pilot of today has never heard of, and one more step of the schema.
"""

import re
import shutil
from pathlib import Path

import pytest

from pilotage.central.operate.demo.local_central import NotRunning
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import PROTOCOL

from .beacons import Beacons
from .running import ROOT, eventually, running_central

MAJOR, MINOR = (int(part) for part in PROTOCOL.split("."))
NEWS = '    news: str = "of a later release"\n'
TOLD = ("TurnReply", "BeatAnswer")  # messages that have it, after their last field


def later_release(folder: Path, minors: int) -> Path:
    """Return a checkout of what comes so many minor versions after this one."""
    folder.mkdir()
    for part in ("central", "matcher", "pilot", "proto", "pilotage", "deploy/pilot"):
        shutil.copytree(
            ROOT / part, folder / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("LICENSE", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    protocol = f"{MAJOR}.{MINOR + minors}"
    _change(folder / "proto/messages.py", f'PROTOCOL = "{PROTOCOL}"', f'PROTOCOL = "{protocol}"')
    _change(folder / "pilotage/__init__.py", '__version__ = "', f'__version__ = "9.{minors}.')
    text = (folder / "proto/messages.py").read_text()
    for name in TOLD:
        text, count = re.subn(
            rf"(class {name}:(?:\n.+|\n(?=\n *\w))*\n)", rf"\1{NEWS}", text, count=1
        )
        assert count == 1, name
    (folder / "proto/messages.py").write_text(text)
    migrations = folder / "central/store/sqlite/migrations"
    number = len(list(migrations.glob("*.sql"))) + 1
    for step in range(minors):
        (migrations / f"{number + step:04}_later.sql").write_text(
            f"ALTER TABLE pilot ADD COLUMN later_{step} INTEGER NOT NULL DEFAULT 0;\n"
        )
    return folder


def _change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, (file, old)
    file.write_text(text.replace(old, new))


def test_a_pilot_of_the_version_before_runs_on_and_an_older_one_hears_that_it_must_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beacons = Beacons(tmp_path / "beacons")
    with running_central(tmp_path / "one") as central:
        client = central.client
        pilot = central.pilot("PIC", cores=2)
        (during,) = client.submit([beacons.job(4)]).ids()
        eventually(lambda: beacons.running(during), what="the start")
        before = client.health()
        monkeypatch.setenv("PYTHONPATH", str(later_release(tmp_path / "next", 1)))
        central.restart()
        after = client.health()
        (later,) = client.submit([beacons.job(0.2)]).ids()

        assert after.version.startswith("9.1.") and not before.version.startswith("9.")
        assert after.gen == before.gen
        for job in (during, later):
            assert client.job(job).wait(60).state is JobState.DONE
        assert client.detail(later).view.pilot == pilot.id
        assert {one.epoch for one in beacons.attempts().values()} == {1}
        assert pilot.process.poll() is None

        monkeypatch.setenv("PYTHONPATH", str(later_release(tmp_path / "after next", 2)))
        central.restart()
        (last,) = client.submit([beacons.job(0.2)]).ids()
        # It has its session, so it works on; only a restart of its own would find it too old.
        assert client.job(last).wait(60).state is JobState.DONE
        assert client.health().version.startswith("9.2.")
        with pytest.raises(NotRunning, match="old_protocol"):
            central.pilot("PIC")
