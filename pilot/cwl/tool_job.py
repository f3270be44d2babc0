"""Runs one CommandLineTool of a CWL document: the payload of its job. Standard library only.

The description is a JSON object, made by `central/cwl/tools.py`:

- `argv`, `env`, `stdin`, `stdout`, `stderr`: the command and its streams
- `stage`: what lies where: `[{"path", "kind", "source"}]`; `kind` is `file`, `folder` (an input),
  `text` (its content is `source`) or `empty` (a folder); with `writable` it is a copy
- `limit_s`: the command is ended after this time; 0: never
- `success`, `temporary`, `permanent`: exit codes
- `folders`: how the command calls its `out`, `tmp` and `in`
- `tree`: the root of a container; `network`: whether it has one

Without a container, the paths in `folders` are placeholders for folders of this job. The result has
the exit code, and a listing of the output folder.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

OUT, TMP, IN = "/pilotage-cwl/out", "/pilotage-cwl/tmp", "/pilotage-cwl/in"
HEAD_BYTES = 65_537  # of a file: one more than an expression may read
HEADS_BYTES = 4 << 20  # of all files of a listing
OUTPUT_OBJECT = "cwl.output.json"
OUTPUT_OBJECT_BYTES = 16 << 20
SUCCESS, TEMPORARY, PERMANENT = "success", "temporaryFail", "permanentFail"


def run(spec: Mapping[str, Any], folder: Path, sources: Mapping[str, str]) -> dict[str, Any]:
    """Run a tool below a folder; return its result.

    `sources` has the path of each input on this machine. Raises OSError if it cannot be staged.
    """
    job = _Job(spec, folder, sources)
    job.stage()
    code, why = job.execute()
    if code in spec["success"]:
        status = SUCCESS
    elif code in spec["temporary"]:
        status = TEMPORARY
    elif code in spec["permanent"]:
        status = PERMANENT
    else:
        status = SUCCESS if code == 0 else PERMANENT
    return {"code": code, "status": status, "why": why, "files": list(job.listing())}


class _Job:
    def __init__(self, spec: Mapping[str, Any], folder: Path, sources: Mapping[str, str]) -> None:
        self._spec, self._sources = spec, sources
        self._out, self._tmp, self._in = folder / "out", folder / "tmp", folder / "in"
        self._tree: str = spec.get("tree", "")  # the root of a container; empty: no container
        names = spec["folders"]
        # The folders by the paths that the command knows, longest first.
        self._at = [(names["out"], self._out), (names["tmp"], self._tmp), (names["in"], self._in)]
        self._at.sort(key=lambda one: -len(one[0]))
        self._binds: list[list[str]] = []  # source, path in the container
        self._outside = folder / "outside"  # what a container has at other absolute paths
        for _, one in self._at:
            one.mkdir(parents=True)

    def _filled(self, text: str) -> str:
        """Return a text with our folders; in a container they have the paths that it knows."""
        if not self._tree:
            for mark, folder in self._at:
                text = text.replace(mark, str(folder))
        return text

    def _real(self, path: str) -> Path:
        """Return where a path of the command lies on this machine: always below our folder."""
        path = os.path.normpath("/" + path.lstrip("/"))
        for mark, folder in self._at:
            if path == mark or path.startswith(mark + "/"):
                return folder / path[len(mark) + 1 :]
        return self._outside / path.lstrip("/")

    # -- before the command -------------------------------------------------------------------

    def stage(self) -> None:
        """Lay inputs where the command looks for them."""
        for one in self._spec["stage"]:
            path, source = self._real(one["path"]), one["source"]
            path.parent.mkdir(parents=True, exist_ok=True)
            is_copy = one.get("writable", False)
            if one["kind"] == "text":
                if path.is_symlink() or path.exists():
                    path.unlink()
                path.write_text(self._filled(source))
                path.chmod(0o644 if is_copy else 0o444)
            elif one["kind"] == "empty":
                path.mkdir(exist_ok=True)
            elif is_copy:
                _copy(self._sources[source], path)
            elif path.is_symlink() or path.exists():
                continue
            elif not self._tree:
                path.symlink_to(self._sources[source])
            elif self._is_output(path):
                _copy(self._sources[source], path)
            else:
                _hold_place(path, one["kind"] == "folder")
                self._binds.append([self._sources[source], one["path"]])
                continue
            if self._tree and self._outside in path.parents:
                self._binds.append([str(path), one["path"]])

    def _is_output(self, path: Path) -> bool:
        return self._out in path.parents

    # -- the command --------------------------------------------------------------------------

    def execute(self) -> tuple[int, str]:
        """Run the command; return its exit code, negative for a signal, and what went wrong."""
        spec = self._spec
        env = {name: self._filled(value) for name, value in spec["env"].items()}
        env.update(
            HOME=self._filled(spec["folders"]["out"]), TMPDIR=self._filled(spec["folders"]["tmp"])
        )
        env.setdefault("PATH", os.environ.get("PATH", os.defpath))
        try:
            with contextlib.ExitStack() as streams:
                given = spec.get("stdin")
                process = subprocess.Popen(
                    [*self._container(), *map(self._filled, spec["argv"])],
                    cwd=str(self._out),
                    env=env,
                    stdin=streams.enter_context(self._stdin(given).open("rb"))
                    if given
                    else subprocess.DEVNULL,
                    stdout=self._stream("stdout", streams),
                    stderr=self._stream("stderr", streams),
                    start_new_session=True,
                )
            try:
                return process.wait(spec.get("limit_s") or None), ""
            except subprocess.TimeoutExpired:
                return _ended(process), f"it ran for more than {spec['limit_s']} s"
        except OSError as why:
            return 127, str(why)

    def _stream(self, name: str, streams: contextlib.ExitStack) -> Any:
        """Return where a stream of the command goes: to its file, or to our standard error."""
        if not self._spec.get(name):
            return sys.stderr
        path = self._out / self._spec[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        return streams.enter_context(path.open("wb"))

    def _stdin(self, path: str) -> Path:
        for source, target in self._binds:
            if target == path:
                return Path(source)
        return self._real(path)

    def _container(self) -> list[str]:
        """Return the words that start a command in the container; none: there is no container."""
        if not self._tree:
            return []
        words = ["bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc"]
        if not self._spec.get("network"):
            words.append("--unshare-net")
        for name in sorted(os.listdir(self._tree)):
            path = os.path.join(self._tree, name)
            if os.path.islink(path):
                words += ["--symlink", os.readlink(path), "/" + name]
            elif name not in ("proc", "dev", "tmp", "sys"):
                words += ["--ro-bind", path, "/" + name]
        words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        for path, real in sorted(self._at):
            words += ["--bind", str(real), path]
        for source, path in self._binds:
            words += ["--ro-bind", source, path]
        return [*words, "--chdir", self._spec["folders"]["out"], "--"]

    # -- after the command --------------------------------------------------------------------

    def listing(self) -> Iterator[dict[str, Any]]:
        """Yield what lies in the output folder. Links are followed into it and into inputs."""
        allowed = [str(self._out.resolve()), *map(os.path.realpath, self._sources.values())]
        left = HEADS_BYTES
        for top, folders, names in os.walk(str(self._out), followlinks=True):
            above = {os.path.realpath(top)}  # a link to itself has no end
            for name in sorted(folders):
                path = self._followed(os.path.join(top, name))
                is_in = _stays(path, allowed) and not _holds(os.path.realpath(path), above)
                yield {"path": self._shown(path), "kind": "folder" if is_in else "leaves"}
                if not is_in:
                    folders.remove(name)
            for name in sorted(names):
                path = self._followed(os.path.join(top, name))
                shown = self._shown(path)
                if not _stays(path, allowed) or not os.path.isfile(path):
                    yield {"path": shown, "kind": "leaves"}
                    continue
                found = _file(path, left if shown != OUTPUT_OBJECT else OUTPUT_OBJECT_BYTES)
                if shown == OUTPUT_OBJECT and "head" in found:
                    content = bytes.fromhex(found["head"]).decode()
                    for mark, real in self._at:
                        content = content.replace(str(real), mark)
                    found.update(head=content.encode().hex(), bytes=len(content.encode()))
                else:
                    left -= len(found.get("head", "")) // 2
                yield {"path": shown, "kind": "file", **found}

    def _shown(self, path: str) -> str:
        return os.path.relpath(path, str(self._out))

    def _followed(self, path: str) -> str:
        """Return a path; a link that was made in the container leads to its place here."""
        if self._tree and os.path.islink(path):
            target = os.readlink(path)
            for source, bound in self._binds:
                if target == bound or target.startswith(bound + "/"):
                    os.unlink(path)
                    os.symlink(source + target[len(bound) :], path)
                    return path
            if target.startswith("/"):
                os.unlink(path)
                os.symlink(str(self._real(target)), path)
        return path


def _copy(source: str, path: Path) -> None:
    """Copy a file or a folder, so that it can be written."""
    if not os.path.isdir(source):
        shutil.copy(source, str(path))
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
        return
    shutil.copytree(source, str(path))
    for top, _, names in os.walk(str(path)):
        os.chmod(top, 0o700)
        for name in names:
            one = Path(top, name)
            one.chmod(one.stat().st_mode | stat.S_IWUSR)


def _hold_place(path: Path, is_folder: bool) -> None:
    """Make what something is mounted on."""
    if is_folder:
        path.mkdir(parents=True, exist_ok=True)
    else:
        path.touch()


def _ended(process: "subprocess.Popen[bytes]") -> int:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return -signal.SIGKILL


def _stays(path: str, allowed: list[str]) -> bool:
    """Return whether a path lies in the output folder or in an input, links resolved."""
    real = os.path.realpath(path)
    return any(real == one or real.startswith(one + os.sep) for one in allowed)


def _holds(folder: str, paths: Iterable[str]) -> bool:
    return any(one == folder or one.startswith(folder + os.sep) for one in paths)


def _file(path: str, most: int) -> dict[str, Any]:
    """Return the size, the SHA-1 and the first bytes of a file; no bytes if they are too many."""
    digest = hashlib.sha1(usedforsecurity=False)
    head = b""
    size = 0
    keeps = HEAD_BYTES if os.path.basename(path) != OUTPUT_OBJECT else OUTPUT_OBJECT_BYTES
    with open(path, "rb") as file:
        while True:
            block = file.read(1 << 20)
            if not block:
                break
            if len(head) < keeps:
                head += block[: keeps - len(head)]
            digest.update(block)
            size += len(block)
    found: dict[str, Any] = {"bytes": size, "sha1": digest.hexdigest()}
    if len(head) <= most:
        found["head"] = head.hex()
    return found


def main() -> int:
    """Run the tool described in the first argument; write the result to the second."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    result = run(spec, Path.cwd(), json.loads(Path(sys.argv[3]).read_text()))
    Path(sys.argv[2]).write_text(json.dumps(result))
    return 0 if result["status"] == SUCCESS else abs(result["code"]) or 1


if __name__ == "__main__":
    sys.exit(main())
