"""`pilot.sh` as a batch job runs it: what starts, what is refused, and that nothing is left."""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pilotage.central.identity.signature import FileSigner
from pilotage.central.operate.distribution.handout import Handout, filled, version_of
from pilotage.central.operate.distribution.pilot_bundle import pilot_bundle

from .interpreters import fit_minors, pythons

SHELLS = [name for name in ("sh", "bash", "dash", "busybox") if shutil.which(name)]
KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))

# Stands for a pilot: says how it was started, and leaves a mark when it runs.
MAIN = """
import json, os, sys
open(os.environ["MARK"], "w").close()
flags = [sys.flags.isolated, sys.flags.no_site]
left = sys.stdin.read()
mode = os.stat(os.path.dirname(sys.argv[0])).st_mode
print(json.dumps([flags, sys.argv[1:], left, oct(mode)]))
"""


@dataclass(frozen=True)
class Bundle:
    """A bundle as it lies on a central or a file system."""

    content: bytes
    signature: bytes
    served: bytes = field(default=b"")  # what is sent, if that is not all

    def at(self, folder: Path) -> Path:
        """Write both files and return where the bundle is."""
        path = folder / "cvmfs.pyz"
        path.write_bytes(self.content)
        Path(f"{path}.sig").write_bytes(self.signature)
        return path


def bundle(version: str = "1.5", *, key: Ed25519PrivateKey = KEY) -> Bundle:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("__main__.py", MAIN)
        archive.writestr("VERSION", f"{version}\n")
    return Bundle(made.getvalue(), key.sign(made.getvalue()))


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        one = cast(_Server, self.server).bundle
        self.send_response(200)
        self.send_header("content-length", str(len(one.content)))
        self.send_header("pilotage-signature", base64.b64encode(one.signature).decode())
        self.end_headers()
        self.wfile.write(one.content)


class _Server(ThreadingHTTPServer):
    bundle: Bundle


@contextmanager
def served(one: Bundle) -> Generator[str]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.bundle = one
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Node:
    """A worker node with a script on it."""

    folder: Path
    script: Path

    @property
    def ran(self) -> bool:
        return (self.folder / "ran").exists()

    def run(
        self,
        *words: str | Path,
        shell: str = "sh",
        path: str = "",
        more: Mapping[str, str] | None = None,
        stdin: str = "",
        argv: tuple[str | Path, ...] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Run the script as a batch system would, with nothing in the environment but `more`."""
        (self.folder / "tmp").mkdir(exist_ok=True)
        shell_words = (shell, "sh") if shell == "busybox" else (shell,)
        return subprocess.run(
            argv or (*shell_words, self.script, *words),
            cwd=self.folder,
            env={
                "PATH": path or os.pathsep.join((str(self.folder / "bin"), os.defpath)),
                "TMPDIR": str(self.folder / "tmp"),
                "MARK": str(self.folder / "ran"),
                **(more or {}),
            },
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def has_python(self, name: str, python: str) -> None:
        (self.folder / "bin").mkdir(exist_ok=True)
        (self.folder / "bin" / name).symlink_to(python)

    def left(self) -> list[str]:
        """Return what lies where the bundle was; the pilot of these tests removes nothing."""
        return sorted(one.name for one in (self.folder / "tmp").rglob("*"))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return equipped(tmp_path)


def equipped(folder: Path, *, central: str = "", least: str = "1.4") -> Node:
    """Return a node with this Python and a script of a central whose key is KEY."""
    script = folder / "pilot.sh"
    text = pilot_bundle().with_name("pilot.sh").read_bytes()
    key = KEY.public_key().public_bytes_raw()
    script.write_bytes(filled(text, central=central, key=key, least=least))
    node = Node(folder, script)
    node.has_python("python3", sys.executable)
    return node


# ---- what starts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_a_good_bundle_is_run_alone_with_the_words_of_the_pilot(shell: str, node: Node) -> None:
    with served(bundle()) as url:
        words = (f"--central={url}", "--secret-file", "-", "--tags", 'it\'s, a "tag" $HOME')
        done = node.run(*words, shell=shell, stdin="the secret")

    flags, argv, stdin, mode = json.loads(done.stdout)
    assert (done.returncode, done.stderr, flags, stdin) == (0, "", [1, 1], "the secret")
    expected = ["--secret-file", "-", "--tags", 'it\'s, a "tag" $HOME', f"--central={url}"]
    assert argv == ["once", "run", *expected]
    assert mode == "0o40700"


def test_the_central_that_served_the_script_is_the_one_that_is_asked(tmp_path: Path) -> None:
    with served(bundle()) as url:
        node = equipped(tmp_path, central=url)
        done = node.run("run", "--plain-http", "--ca", "ca.pem")

    assert json.loads(done.stdout)[1] == [
        "once",
        "run",
        "--ca=ca.pem",
        "--plain-http",
        f"--central={url}",
    ]


def test_a_bundle_of_a_path_is_run_from_a_copy_of_its_own(node: Node) -> None:
    path = bundle().at(node.folder)
    done = node.run("--bundle", path, "--idle-s", "60")
    by_variable = node.run("detect", "--json", more={"PILOTAGE_BUNDLE": str(path)})

    assert json.loads(done.stdout)[1] == ["once", "run", "--idle-s", "60"]
    assert json.loads(by_variable.stdout)[1] == ["once", "detect", "--json"]
    assert node.left().count("pilot.pyz") == 2


def test_where_the_path_has_nothing_the_central_is_asked(node: Node) -> None:
    with served(bundle()) as url:
        done = node.run("--bundle", "/cvmfs/none/pilot.pyz", "--central", url)

    assert (done.returncode, node.ran) == (0, True)
    assert "No such file or directory: /cvmfs/none/pilot.pyz; using the central" in done.stderr


def test_a_shell_that_reads_the_script_from_its_standard_input_runs_it(node: Node) -> None:
    path = bundle().at(node.folder)
    done = node.run(argv=("sh", "-s", "--", "--bundle", path), stdin=node.script.read_text())

    assert (done.returncode, node.ran) == (0, True), done.stderr


# ---- what is refused -----------------------------------------------------------------------------


def _turned(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


GOOD = bundle()
REFUSED = {
    "altered at its begin": (replace(GOOD, content=_turned(GOOD.content, 50)), 22),
    "altered at its end": (
        replace(GOOD, content=_turned(GOOD.content, -1 + len(GOOD.content))),
        22,
    ),
    "cut off": (replace(GOOD, content=GOOD.content[:-10]), 22),
    "cut to nothing": (replace(GOOD, content=b""), 22),
    "longer": (replace(GOOD, content=GOOD.content + b"\0"), 22),
    "replaced, with its signature": (bundle(key=OTHER), 22),
    "replaced, with our signature": (replace(bundle("1.6"), signature=GOOD.signature), 22),
    "without a signature": (replace(GOOD, signature=b""), 22),
    "half a signature": (replace(GOOD, signature=GOOD.signature[:32]), 22),
    "older, and signed": (bundle("1.3.9"), 23),
    "older by a candidate": (bundle("1.4rc1"), 23),
    "signed, without a version": (bundle("now"), 23),
    "signed, and no archive": (Bundle(b"echo", KEY.sign(b"echo")), 23),
}


@pytest.mark.parametrize("how", REFUSED)
def test_nothing_runs_of_a_bundle_that_is(how: str, node: Node) -> None:
    one, code = REFUSED[how]
    done = node.run("--bundle", one.at(node.folder))

    assert (done.returncode, done.stdout) == (code, "")
    assert not node.ran and node.left() == []
    assert "nothing was run" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("how", ["altered at its end", "without a signature", "older, and signed"])
def test_a_central_is_believed_no_more_than_a_path(how: str, node: Node) -> None:
    one, code = REFUSED[how]
    with served(one) as url:
        done = node.run("--central", url)

    assert (done.returncode, node.ran, f"{url}/pilot.pyz: " in done.stderr) == (code, False, True)


def test_the_oldest_version_that_will_do_is_run(tmp_path: Path) -> None:
    node = equipped(tmp_path, least="1.5")

    assert node.run("--bundle", bundle("1.5").at(tmp_path)).returncode == 0


def test_no_variable_changes_whose_signature_counts_or_what_is_old(node: Node) -> None:
    other = OTHER.public_key().public_bytes_raw().hex()
    path = bundle(key=OTHER).at(node.folder)
    env = {"key": other, "least": "0", "central": "http://127.0.0.1:1", "pilot_of_python": "1"}

    assert node.run("--bundle", path, more=env).returncode == 22
    assert not node.ran


def test_a_script_that_no_central_has_filled_in_runs_nothing(node: Node) -> None:
    shutil.copy(pilot_bundle().with_name("pilot.sh"), node.script)
    done = node.run("--bundle", bundle().at(node.folder))

    assert (done.returncode, node.ran) == (2, False)
    assert "no key" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--central URL is needed"),
        (("--central", "http://central.example"), "use https, or allow http"),
        (("--central", "central:1"), "must look like https://"),
    ],
)
def test_wrong_options_are_said(words: tuple[str, ...], said: str, node: Node) -> None:
    done = node.run(*words)

    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


# ---- which Python --------------------------------------------------------------------------------

OLD = next((path for version, path in sorted(pythons().items()) if version < (3, 9)), None)


def shim(node: Node, name: str, *, says: str) -> None:
    file = node.folder / "bin" / name
    file.unlink(missing_ok=True)
    file.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit 1\n")
    file.chmod(0o755)


def run_alone(node: Node, **more: str) -> subprocess.CompletedProcess[str]:
    """Run with no other Python on PATH than the node's; the shell itself is named by its path."""
    sh = cast(str, shutil.which("sh"))
    path = bundle().at(node.folder)
    return node.run(argv=(sh, node.script, "--bundle", path), path=f"{node.folder}/bin", more=more)


def test_without_a_python_it_is_said_what_was_tried(node: Node) -> None:
    shim(node, "python3", says="pyenv: no such version")
    shim(node, "python3.12", says="No module named ssl")
    done = run_alone(node, PILOTAGE_PYTHON="/opt/python")

    assert (done.returncode, node.ran) == (20, False)
    assert "no Python 3.9 or newer" in done.stderr and "PILOTAGE_PYTHON" in done.stderr
    for said in ("python3: pyenv: no such version", "python3.12: No module", "/opt/python: "):
        assert said in done.stderr


@pytest.mark.parametrize("name", ["python3.9", "python3.14"])
def test_a_python_with_its_version_in_its_name_is_found(name: str, node: Node) -> None:
    shim(node, "python3", says="no")
    node.has_python(name, sys.executable)

    assert (run_alone(node).returncode, node.ran) == (0, True)


def test_a_python_that_only_the_setting_names_is_found(node: Node) -> None:
    shim(node, "python3", says="no")

    assert run_alone(node, PILOTAGE_PYTHON=sys.executable).returncode == 0
    assert node.ran


@pytest.mark.skipif(OLD is None, reason="no Python here is too old")
def test_a_python_that_is_too_old_is_passed_by(node: Node) -> None:
    (node.folder / "bin" / "python3").unlink()
    node.has_python("python3", str(OLD))
    alone = run_alone(node)
    node.has_python("python3.11", sys.executable)
    beside = run_alone(node)

    assert (alone.returncode, "python3: it is Python 3." in alone.stderr) == (20, True)
    assert beside.returncode == 0


# ---- the real pilot ------------------------------------------------------------------------------


def handed_out(folder: Path, central: str = "") -> Node:
    """Return a node with the script that a central hands out, and its bundle at a path."""
    files = Handout(pilot_bundle(), FileSigner(KEY), lambda: central).files()
    node = Node(folder, folder / "pilot.sh")
    node.script.write_bytes(files.script)
    Bundle(files.signed.content, files.signed.signature).at(folder)
    return node


@pytest.mark.parametrize("python", fit_minors())
def test_the_pilot_runs_on_every_python_and_leaves_nothing(python: str, tmp_path: Path) -> None:
    node = handed_out(tmp_path)
    node.has_python("python3", python)
    done = node.run("--bundle", node.folder / "cvmfs.pyz", "--version")

    version = version_of(pilot_bundle().read_bytes())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"pilotage-pilot {version} ")
    assert node.left() == []


def test_a_pilot_that_cannot_start_leaves_nothing_either(tmp_path: Path) -> None:
    node = handed_out(tmp_path, "https://127.0.0.1:1")
    node.has_python("python3", sys.executable)
    done = node.run("--bundle", node.folder / "cvmfs.pyz", "--cores", "-1")

    assert (done.returncode, node.left()) == (2, [])
    assert "cores" in done.stderr
