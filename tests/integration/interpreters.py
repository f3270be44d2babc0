"""Which Pythons this machine has, for what must run on each of them."""

import functools
import subprocess
import sys
from pathlib import Path

PLACES = (".pyenv/versions/*/bin/python", ".local/bin/python3.*")
_SAYS = "import sys; print('%d.%d.%d' % sys.version_info[:3])"


@functools.cache
def pythons() -> dict[tuple[int, ...], str]:
    """Return the interpreters that answer, version → path; old ones too, but for Python 2."""
    kept = [one for place in PLACES for one in Path.home().glob(place)]
    system = [one for one in Path("/usr/bin").glob("python3*") if "config" not in one.name]
    found: dict[tuple[int, ...], str] = {}
    asked = set[Path]()
    for path in (Path(sys.executable), *sorted(system), *sorted(kept)):
        if path.resolve() in asked:
            continue
        asked.add(path.resolve())
        said = subprocess.run(
            [path, "-I", "-S", "-c", _SAYS],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if said.returncode == 0 and said.stdout.startswith("3."):
            found.setdefault(tuple(map(int, said.stdout.split("."))), str(path))
    return found


def fit() -> list[str]:
    """Return those that a pilot runs on, each version once."""
    return [path for version, path in sorted(pythons().items()) if version >= (3, 9)]


def fit_minors() -> list[str]:
    """Return one of each minor version among them."""
    return list(
        {
            version[:2]: path
            for version, path in sorted(pythons().items())[::-1]
            if version >= (3, 9)
        }.values()
    )


def oldest_fit() -> str | None:
    """Return a Python 3.9, if there is one."""
    return _of_minor(9)


def python_3_10() -> str | None:
    """Return a Python 3.10, the oldest for clients, if there is one."""
    return _of_minor(10)


def _of_minor(minor: int) -> str | None:
    return next((path for version, path in pythons().items() if version[:2] == (3, minor)), None)
