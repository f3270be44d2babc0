"""A payload looks for the pilot's secrets, under a whole pilot, as an ordinary user and as root."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from pilotage.central.operate.distribution.pilot_bundle import pilot_bundle
from pilotage.pilot.outfit import isolation
from pilotage.pilot.ports import HttpReply
from pilotage.proto.messages import How
from tests.scripted_central import Central, assignment

from ..test_guard import RUNGS
from ..test_pilot_process import served

NOBODY = 65_534
PATIENCE_S = 60.0
SPY = Path(__file__).with_name("spy.py")
PYTHON = shutil.which("python3", path="/usr/bin:/bin")  # one that any user may run
HERE = {rung for rung in (isolation.BUBBLEWRAP, isolation.UNSHARE) if rung in RUNGS}
# What a plain session cannot keep from a payload: files of its own user, and signals.
NOT_KEPT = {"file", "file that was hidden", "file of a namespace", "signals"}


class SecretiveCentral(Central):
    """Every secret that it gives begins with one word, which nobody else knows."""

    def __init__(self) -> None:
        super().__init__()
        self.word = "canary" + secrets.token_hex(8)

    def _token(self) -> str:
        self.tokens += 1
        token = f"{self.word}-token-{self.tokens}"
        self.valid_tokens = {token}
        return token

    async def __call__(self, method: str, path: str, body: bytes, token: str) -> HttpReply:
        reply = await super().__call__(method, path, body, token)
        told = reply.body.replace(b'"renew"', f'"{self.word}-renewal"'.encode())
        return HttpReply(reply.status, told.replace(b'"word"', f'"{self.word}-broker"'.encode()))


@contextlib.contextmanager
def _folder(user: int) -> Generator[Path]:
    """A folder of this user that has no other above it which only its owner may enter."""
    with tempfile.TemporaryDirectory(prefix="pilot-spied-", dir="/srv") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "own").mkdir(mode=0o700)
        shutil.copy(pilot_bundle(), folder / "own" / "pilot.pyz")
        shutil.copy(SPY, folder / "spy.py")
        (folder / "spy.py").chmod(0o644)
        os.chown(folder / "own", user, user)
        os.chown(folder / "own" / "pilot.pyz", user, user)
        yield folder


def _spied(rung: str, user: int) -> dict[str, list[str]]:
    """Let the spy run under a pilot on `rung`; return what it has found, by its ways.

    The pilot is told of its folder and its secret by links.
    """
    assert PYTHON is not None
    central = SecretiveCentral()
    with _folder(user) as folder, served(central) as url:
        own = folder / "own"
        secret, config = own / "secret", own / "settings.json"
        secret.write_text(f"{central.word}-secret")
        config.write_text(json.dumps({"tags": ["plain"], "idle_s": 0.3}))
        for file in (secret, config):
            file.chmod(0o600)
            os.chown(file, user, user)
        links = folder / "state", folder / "secret"
        for link in links:
            link.symlink_to(own / link.name)
        places = (*map(str, links), str(own / "state"), str(secret))
        central.queue.append(
            assignment(1, PYTHON, str(folder / "spy.py"), central.word[::-1], "--", *places)
        )
        options = ("--config", str(config), "--secret-file", str(links[1]), "--isolation", rung)
        done = subprocess.run(
            [PYTHON, "-I", str(own / "pilot.pyz"), "run", "--central", url, *options]
            + ["--state-dir", str(links[0]), "--benchmark-s", "0"],
            env={"PATH": "/usr/bin:/bin", "SECRET_OF_THE_PILOT": f"{central.word}-environment"},
            cwd=own,
            user=user,
            group=user,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    assert done.returncode == 0, done.stderr
    assert central.word not in done.stderr
    (report,) = central.ended.values()
    kept = {one.name: central.blobs[one.sha256] for one in report.outputs}
    assert (report.how, report.exit_code) == (How.EXITED, 0), kept
    assert report.isolation == rung
    found: dict[str, list[str]] = json.loads(kept[".pilotage/stdout"])
    return found


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run as another user")


@needs_root
@pytest.mark.parametrize("rung", sorted(HERE))
def test_a_payload_finds_no_secret_of_a_pilot_of_an_ordinary_user(rung: str) -> None:
    assert _spied(rung, NOBODY) == {}


@needs_root
@pytest.mark.parametrize("rung", sorted(HERE))
def test_a_payload_finds_no_secret_of_a_pilot_that_is_root(rung: str) -> None:
    assert _spied(rung, 0) == {}


@needs_root
def test_on_the_plain_session_memory_and_environment_are_closed_and_files_are_not() -> None:
    found = _spied(isolation.SESSION, NOBODY)

    assert "file" in found, "the spy is blind"
    assert found.keys() <= NOT_KEPT, found
