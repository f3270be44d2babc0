"""A central that knows real providers, and people who type `pilotage login`."""

import os
import re
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.acceptance.running import RunningCentral

from .browser import Person
from .providers import WEB, RunningProvider

COMMUNITY: Final = "ctao"  # that the pages map to
PAGES: Final = Path(__file__).resolve().parents[3] / "docs" / "identity"
FILES: Final[Mapping[str, tuple[str, int]]] = {  # of each profile: the page, and which file of it
    "wlcg": ("iam.md", 0),
    "iam": ("iam.md", 1),
    "keycloak": ("keycloak.md", 0),
    "egi": ("check-in.md", 0),
    "cilogon": ("cilogon.md", 0),
}
_FILE: Final = re.compile(r"^```yaml identity/[a-z-]+\.yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def provider_file(provider: RunningProvider, **changed: Any) -> bytes:
    """Return the file of a provider as its page shows it, with the address of this provider."""
    page, number = FILES[provider.profile]
    text = _FILE.findall((PAGES / page).read_text())[number]
    found: dict[str, Any] = msgspec.yaml.decode(text)
    secret = provider.ca_file.with_name("web.secret")
    secret.touch(mode=0o600)
    secret.write_text(provider.clients[WEB])
    here = {
        "issuer": provider.issuer,
        "ca_file": str(provider.ca_file),
        "client": {"id": WEB, "secret_file": str(secret)},
    }
    return msgspec.yaml.encode(found | here | changed)


def install(central: RunningCentral, name: str, provider: RunningProvider, **changed: Any) -> None:
    """Write the file of a provider, and let it send browsers back to this central."""
    folder = central.data / "identity"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_bytes(provider_file(provider, **changed))
    provider.set_redirects(f"{central.url}/auth/callback/{name}")


class Terminal:
    """A home directory in which somebody types commands."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONSAFEPATH") if name in os.environ}
        self.environment = kept | {"HOME": str(home), "BROWSER": "true"}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "pilotage.central.cli", *words]

    def type(self, *words: str, code: int = 0) -> str:
        """Run a command to its end; return what it printed, and its remarks if it failed."""
        done = subprocess.run(
            self.command(*words), env=self.environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def log_in(self, person: Person, *words: str, code: int = 0) -> str:
        """Type `pilotage login …`; the person confirms it in their browser."""
        with self.logging_in(*words) as (process, url):
            person.walk(url)
            said = process.communicate(timeout=60)
        assert process.returncode == code, said
        return said[0] if code == 0 else said[1]

    @contextmanager
    def logging_in(self, *words: str) -> Generator[tuple[subprocess.Popen[str], str]]:
        """Type `pilotage login …`; give the process, and the address that it shows."""
        with subprocess.Popen(
            self.command("login", *words),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stderr is not None
                said = ""
                while not (found := re.search(r"open(?:ing)? (http\S+)", said)):
                    line = process.stderr.readline()
                    assert line, said + process.communicate()[0]
                    said += line
                yield process, found[1]
            finally:
                process.kill()
