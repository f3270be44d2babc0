"""The nightly backup: whole ones are counted, the oldest go, and nothing else does."""

import subprocess
import sys
from pathlib import Path

from .running import ROOT, running_central

SCRIPT = ROOT / "deploy" / "systemd" / "pilotage-backup"


def test_the_newest_backups_are_kept(tmp_path: Path) -> None:
    with running_central(tmp_path / "one") as central:
        bin_ = tmp_path / "bin"
        bin_.mkdir()
        (bin_ / "pilotage-backup").write_bytes(SCRIPT.read_bytes())
        (bin_ / "pilotage-backup").chmod(0o755)
        pilotage = bin_ / "pilotage"
        pilotage.write_text(
            f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m pilotage.central.cli "$@"\n'
        )
        pilotage.chmod(0o755)
        backups = tmp_path / "backups"
        (backups / "of somebody else").mkdir(parents=True)
        for _ in range(3):
            subprocess.run(
                [bin_ / "pilotage-backup", central.data, backups, "2"], check=True, timeout=60
            )
        names = sorted(one.name for one in backups.iterdir())

        assert len(names) == 3
        assert names[-1] == "of somebody else"
        assert all((backups / name / "backup.json").is_file() for name in names[:-1])
