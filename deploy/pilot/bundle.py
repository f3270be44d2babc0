"""Build `pilot.pyz`: the pilot as one file for any python3 from 3.9 on, with nothing installed.

    python deploy/pilot/bundle.py build/pilot.pyz

The same sources and the same versions of the bundled packages give the same bytes. The packages are
taken from the environment of the running interpreter, where the build requirements of
`pyproject.toml` have put them; nothing is downloaded. `pilot.sh` is built as well: it fetches the
bundle on a node. A central fills in its address, its key and its version.
"""

import importlib.metadata
import io
import py_compile
import re
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SHEBANG = b"#!/usr/bin/env python3\n"

# The part of proto that the pilot uses; it imports only the standard library.
PROTO = (
    "__init__",
    "amounts",
    "attempts",
    "declarations",
    "ids",
    "images",
    "job_states",
    "limits",
    "state_machine",
    "messages",
    "pilot_states",
    "problems",
    "storages",
    "tasks",
    "topics",
    "trust",
    "wire",
)

PACKAGES = ("aiomqtt", "paho-mqtt", "typing-extensions")  # pure Python, each with its licence

TABLE = "pilotage/pilot/data/storages.txt"  # of storage types; see pilot/data/drivers.py

SCRIPT = "pilot.sh"
_BUILDERS = ("bundle.py", "bootstrap.py", "bootstrap.sh")
_PROGRAM = "@PROGRAM@"  # place of the text of bootstrap.py in the script

MAIN = b"""\
from pilotage.pilot.__main__ import main

raise SystemExit(main())
"""

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest date that a zip can hold


def build(target: Path, root: Path = ROOT, *, with_bytecode: bool = False) -> None:
    """Write the bundle of the checkout at `root` to `target` atomically, and its script.

    With bytecode it starts in half of the CPU time on this Python version; on others it is no
    slower. The bytes are then not the same everywhere. The archive is not compressed, because
    different builds of zlib give different bytes.
    """
    files = _ours(root)
    for package in PACKAGES:
        files.update(_installed(package))
    if with_bytecode:
        files.update(_bytecode(files))
    target.parent.mkdir(parents=True, exist_ok=True)
    _write(target.with_name(SCRIPT), script(root))
    archived = io.BytesIO()
    archived.write(SHEBANG)
    with zipfile.ZipFile(archived, "w") as archive:
        for name in sorted(files):
            _add(archive, name, files[name])
    _write(target, archived.getvalue())


def script(root: Path = ROOT) -> bytes:
    """Return the script: a shell part, and a quoted part for the Python that it finds."""
    here = root / "deploy" / "pilot"
    shell = (here / "bootstrap.sh").read_text(encoding="utf-8")
    program = (here / "bootstrap.py").read_text(encoding="utf-8")
    return shell.replace(_PROGRAM, program.replace("'", "'\\''"), 1).encode()


def sources(root: Path = ROOT) -> list[Path]:
    """Return the files of a checkout that make the bundle, this one included."""
    pilot = [
        path
        for path in (root / "pilot").rglob("*")
        if path.suffix == ".py" and path.is_file()  # not files that an editor left
    ]
    proto = [root / "proto" / f"{name}.py" for name in PROTO]
    return [
        *sorted(pilot),
        *proto,
        root / "pilotage" / "__init__.py",
        root / "pyproject.toml",
        root / "LICENSE",
        *(root / "deploy" / "pilot" / name for name in _BUILDERS),
    ]


def version(root: Path = ROOT) -> str:
    """Return the version of the checkout at `root`."""
    text = (root / "pilotage" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise ValueError("pilotage/__init__.py states no version")
    return found[1]


def storages(root: Path = ROOT) -> str:
    """Return the drivers of our storage types, one line `NAME = MODULE:CLASS` each."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    head = re.escape('[project.entry-points."pilotage.pilot.storages"]')
    found = re.search(rf"^{head}.*\n((?:\w.*\n)+)", text, re.MULTILINE)
    if found is None:
        raise ValueError("pyproject.toml names no driver of a type of storage")
    return found[1].replace('"', "")


def _ours(root: Path) -> dict[str, bytes]:
    face = f'"""The pilot of pilotage, as one file."""\n\n__version__ = "{version(root)}"\n'
    files = {
        "VERSION": f"{version(root)}\n".encode(),  # the script checks that it is new enough
        "__main__.py": MAIN,
        "pilotage/__init__.py": face.encode(),
        TABLE: storages(root).encode(),
    }
    for path in sources(root):
        inside = path.relative_to(root)
        if inside.parts[0] in ("pilot", "proto"):
            files[f"pilotage/{inside.as_posix()}"] = path.read_bytes()
        elif inside.name == "LICENSE":
            files["LICENSE"] = path.read_bytes()
    return files


def _installed(package: str) -> dict[str, bytes]:
    """Return the modules and the licence of an installed package."""
    files: dict[str, bytes] = {}
    for entry in importlib.metadata.distribution(package).files or ():
        meta = ".dist-info" in entry.parts[0]
        wanted = entry.name == "METADATA" or "licenses" in entry.parts if meta else True
        if not wanted or ".." in entry.parts or "__pycache__" in entry.parts:
            continue
        if entry.suffix in (".so", ".pyd"):
            raise ValueError(f"{package} is compiled here: {entry}. The bundle must run anywhere.")
        files[entry.as_posix()] = Path(str(entry.locate())).read_bytes()
    if not files:
        raise ValueError(f"{package} is installed without a list of its files")
    return files


def _bytecode(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the modules in compiled form, under the names that an archive import looks for."""
    compiled: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "source"), Path(folder, "result")
        for name in files:
            if name.endswith(".py"):
                source.write_bytes(files[name])
                py_compile.compile(
                    str(source),
                    str(result),
                    dfile=name,
                    doraise=True,
                    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
                )
                compiled[f"{name}c"] = result.read_bytes()
    return compiled


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, date_time=_EPOCH)
    entry.compress_type = zipfile.ZIP_STORED
    entry.create_system = 3  # Unix, whatever the machine: the same bytes everywhere
    entry.external_attr = 0o100644 << 16
    archive.writestr(entry, content)


def _write(target: Path, content: bytes) -> None:
    """Write a program atomically, executable whatever the umask."""
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".pilot-", delete=False) as out:
        out.write(content)
    fresh = Path(out.name)
    fresh.chmod(0o755)
    fresh.replace(target)


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else "build/pilot.pyz"))
