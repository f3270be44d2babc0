"""The script that starts a pilot hands on all that it must, and nothing shows."""

import subprocess
import sys
from pathlib import Path

from pilotage.central.factory.start_script import start_script

SPY = """\
echo "args: $*"
printf 'secret: '
cat
[ "$SLEEP" = 0 ] || exec sleep "$SLEEP"
exit 5
"""


def run(tmp_path: Path, *, sleep: str = "0") -> subprocess.Popen[bytes]:
    script = start_script(
        stamp="t-12345678",
        secret="s3cr3t'$(x)",
        pilot_sh=SPY,
        options={
            "central": "https://c:1",
            "tags": ("a", "b'c"),
            "cores": 0,
            "overcommit": True,
            "wall_s": 60.0,
        },
    )
    return subprocess.Popen(
        ["sh", "-c", script.decode()],
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin", "SLEEP": sleep},
        stdout=subprocess.PIPE,
    )


def test_options_and_secret_reach_the_pilot_and_its_code_comes_back(tmp_path: Path) -> None:
    pilot = run(tmp_path)
    printed, _ = pilot.communicate(timeout=20)

    assert pilot.returncode == 5
    assert b"--central=https://c:1 --tags=a,b'c --overcommit --wall-s=60" in printed
    assert b"secret: s3cr3t'$(x)\n" in printed
    assert b"cores" not in printed
    assert not list(tmp_path.iterdir()), "it left something behind"


def test_a_signal_to_the_script_reaches_the_pilot(tmp_path: Path) -> None:
    pilot = run(tmp_path, sleep="100")
    assert pilot.stdout is not None
    while b"secret" not in pilot.stdout.readline():
        pass
    pilot.terminate()
    pilot.communicate(timeout=20)

    assert pilot.returncode == 128 + 15
    assert not list(tmp_path.iterdir())


def test_no_secret_stands_on_a_command_line() -> None:
    script = start_script(stamp="t", secret="hidden", pilot_sh="true", options={"central": "c"})

    assert b"hidden" in script
    assert not any(b"hidden" in line and line != b"hidden" for line in script.splitlines())
    assert sys.getsizeof(script) < 2_000
