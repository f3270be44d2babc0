"""Runs one CommandLineTool of a CWL document: the payload of its job. Standard library only.

The description is a JSON object, made by `central/cwl/tools.py`:

- `argv`, `env`, `stdin`, `stdout`, `stderr`: the command and its streams
- `stage`: what lies where: `[{"path", "kind", "source"}]`; `kind` is `file`, `folder` (an input),
  `text` (its content is `source`) or `empty` (a folder); with `writable` it is a copy
- `limit_s`: the command is ended after this time; 0: never
- `success`, `temporary`, `permanent`: exit codes
- `folders`: how the command calls its `out`, `tmp` and `in`
- `tree`: the root of a container; `network`: whether it has one
- `keep`: globs of the files that can be outputs, relative to `out`; none: all files
- `store`: what the catalogue gets: `[{"to", "globs"}]`, a folder of the catalogue, and globs; such
  files are not kept
- `each`: words and entries of `stage` for each file of a task, and where the words go (`at`)
- on a node, `sources`: where each input lies in the job's folder; `executable`: those that are
  programs; `made`: empty folders of inputs

The description of many tasks has marks: TASK for the number of a task, and ROOT, EXT and paths
below MARKS for its files. The words behind `--` are that number and the files.

Without a container, the paths in `folders` are placeholders for folders of this job. The result has
the exit code, and a listing of the output folder. The `kind` of an entry is `file`, `folder`, or
`leaves`: it cannot be an output, and `why` says the reason. `stored` has names in the catalogue by
path.

The command runs as the same user, and what it leaves may be anything: the listing ends, opens
nothing but regular files, and names what it leaves out. Nothing is written through a link.
"""

import base64
import contextlib
import fnmatch
import hashlib
import itertools
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

# Raise it with a change here that gives equal tools other results: earlier results are not reused
# then (see `_recipe` in `central/cwl/tools.py`).
VERSION = 1
OUT, TMP, IN = "/pilotage-cwl/out", "/pilotage-cwl/tmp", "/pilotage-cwl/in"
PROGRAMS = "/pilotage-cwl/programs"  # in a container
HEAD_BYTES = 65_537  # of a file: one more than an expression may read
HEADS_BYTES = 4 << 20  # of all files of a listing
OUTPUT_OBJECT = "cwl.output.json"
OUTPUT_OBJECT_BYTES = 16 << 20
ENDING_S = 1.0  # the most that processes take to end; nobody may collect those that have
LISTED_MAX = 100_000  # files and folders of a listing
RESULT, KEPT = "cwl-result.json", "kept"  # the result, and links to files to keep
STORED = "stored"  # links to files for the catalogue, below a number for each entry of `store`
# Marks: see above. That of the task is a number, for ports that take one.
TASK, ROOT, EXT = "1987654321", "pilotage-root-", ".pilotage-ext-"
MARKS = "/pilotage-cwl/marks"
WORD_MAX = 120_000  # characters of a word of a command
SUCCESS, TEMPORARY, PERMANENT = "success", "temporaryFail", "permanentFail"
RETRIES = 3  # of a tool that fails temporarily
EX_TEMPFAIL = 75  # the exit code of a job whose tool ended with 0, if that is a temporary failure


def run(
    spec: Mapping[str, Any], folder: Path, sources: Mapping[str, str], errors: Any = None
) -> dict[str, Any]:
    """Run a tool below a folder; return its result.

    `sources` has the path of each input on this machine. `errors` gets streams of the tool that
    have no file; by default they go to our standard error. Raises OSError if it cannot be staged.
    """
    job = _Job(spec, folder, sources, errors)
    job.stage()
    code, why = job.execute()
    files = list(itertools.islice(job.listing(), LISTED_MAX + 1))
    if len(files) > LISTED_MAX:
        files = []
        why = why or f"the output folder has more than {LISTED_MAX} files and folders"
    if why:
        status = PERMANENT
    elif code in spec["success"]:
        status = SUCCESS
    elif code in spec["temporary"]:
        status = TEMPORARY
    elif code in spec["permanent"]:
        status = PERMANENT
    else:
        status = SUCCESS if code == 0 else PERMANENT
    return {"code": code, "status": status, "why": why, "files": files}


class _Job:
    def __init__(
        self,
        spec: Mapping[str, Any],
        folder: Path,
        sources: Mapping[str, str],
        errors: Any = None,
    ) -> None:
        self._spec, self._sources, self._errors = spec, sources, errors
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
        self._real_out = os.path.realpath(str(self._out))  # the command may move its folder
        self._real_folder = os.path.realpath(str(folder))

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
            try:
                self._lay(one)
            except ValueError as why:  # NUL or half a character in a name
                raise OSError(f"{one['path']!r} cannot be made: {why}") from why

    def _lay(self, one: Mapping[str, Any]) -> None:
        path, source = self._real(one["path"]), one["source"]
        is_copy = one.get("writable", False)
        self._make_room(path, is_written=is_copy or one["kind"] == "text")
        if one["kind"] == "text":
            if path.exists():
                path.unlink()
            path.write_text(self._filled(source), encoding="utf-8")
            path.chmod(0o644 if is_copy else 0o444)
        elif one["kind"] == "empty":
            path.mkdir(exist_ok=True)
        elif is_copy:
            _copy(self._sources[source], path)
        elif path.is_symlink() or path.exists():
            return
        elif not self._tree:
            path.symlink_to(self._sources[source])
        elif self._is_output(path):
            _copy(self._sources[source], path)
        else:
            _hold_place(path, one["kind"] == "folder")
            self._binds.append([self._sources[source], one["path"]])
            return
        if self._tree and self._outside in path.parents:
            self._binds.append([str(path), one["path"]])

    def _make_room(self, path: Path, *, is_written: bool) -> None:
        """Make the folder of a path, and remove a link to an input that would be written."""
        if not _is_below(os.path.realpath(str(path.parent)), self._real_folder):
            raise OSError(f"{path} cannot be made: its folder is an input, which is never changed")
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_written and path.is_symlink():
            path.unlink()

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
        env["PATH"] = self._with_python(env["PATH"])
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
                return -signal.SIGKILL, f"it ran for more than {spec['limit_s']} s"
            finally:
                _end_all(process)
        except (OSError, ValueError) as why:  # ValueError: NUL or half a character in a word
            return 127, str(why)

    def _with_python(self, path: str) -> str:
        """Return a search path with a `python`: many nodes and images have only `python3`."""

        def found(name: str) -> str:
            files = (f"{one}/{name}" for one in path.split(os.pathsep) if one)
            return next((one for one in files if os.path.exists(self._tree + one)), "")

        python = found("python3") or ("" if self._tree else sys.executable)
        if found("python") or not python:
            return path
        programs = Path(self._real_folder, "programs")
        programs.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (programs / "python").symlink_to(python)
        if not self._tree:
            return f"{path}{os.pathsep}{programs}"
        self._binds.append([str(programs), PROGRAMS])
        return f"{path}{os.pathsep}{PROGRAMS}"

    def _stream(self, name: str, streams: contextlib.ExitStack) -> Any:
        """Return where a stream of the command goes: to its file, or to `errors`."""
        if not self._spec.get(name):
            return sys.stderr if self._errors is None else self._errors
        out: str = self._spec["folders"]["out"]
        path = self._real(os.path.join(out, self._spec[name]))
        self._make_room(path, is_written=True)
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
        left = HEADS_BYTES
        for path, kind in self._walked():
            shown = self._shown(path)
            if not _is_utf8(shown):
                shown, kind = ascii(shown)[1:-1], "its name is not UTF-8"
            if kind == "folder":
                yield {"path": shown, "kind": kind}
                continue
            found: dict[str, Any] = {}
            if kind == "file":
                is_object = shown == OUTPUT_OBJECT
                try:
                    found = _file(path, OUTPUT_OBJECT_BYTES if is_object else left)
                except FileNotFoundError:
                    continue  # it was removed in the meantime
                except OSError as why:
                    kind = f"it cannot be read: {why.strerror}"
                if is_object and found.get("bytes", 0) > OUTPUT_OBJECT_BYTES:
                    kind = f"it has more than {OUTPUT_OBJECT_BYTES} bytes"
            if kind != "file":
                yield {"path": shown, "kind": "leaves", "why": kind}
                continue
            if shown == OUTPUT_OBJECT:
                content = bytes.fromhex(found["head"])
                for mark, real in self._at:
                    content = content.replace(os.fsencode(real), mark.encode())
                found.update(head=content.hex(), bytes=len(content))
            else:
                left -= len(found.get("head", "")) // 2
            yield {"path": shown, "kind": "file", **found}

    def _walked(self) -> Iterator[tuple[str, str]]:
        """Yield each path and its kind: `file`, `folder`, or why it is neither."""
        allowed = [self._real_out, *map(os.path.realpath, self._sources.values())]
        # Each with the real paths of the folders above it: a link to one of them has no end.
        top = str(self._out)
        folders: list[tuple[str, tuple[str, ...]]] = [(top, (os.path.realpath(top),))]
        while folders:
            folder, above = folders.pop()
            below: list[tuple[str, tuple[str, ...]]] = []
            for path in _paths(folder):
                name = os.path.basename(path)
                real = os.path.join(above[-1], name)
                try:
                    if os.path.islink(path):
                        real = os.path.realpath(self._followed(path))
                    kind = _kind(path, real, allowed, above)
                except OSError as why:
                    kind = f"it cannot be followed: {why.strerror}"
                yield path, kind
                if kind == "folder" and _is_utf8(name):
                    below.append((path, (*above, real)))
            folders.extend(reversed(below))

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


def _end_all(process: "subprocess.Popen[bytes]") -> None:
    """End a command, and what it left in the background: nothing may write to outputs any more."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        until = time.monotonic() + ENDING_S
        while time.monotonic() < until:  # it takes a moment
            os.killpg(process.pid, 0)
            time.sleep(0.01)
    process.wait()


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _paths(folder: str) -> list[str]:
    """Return the paths in a folder, in order and bounded; a missing folder has none."""
    try:
        with os.scandir(folder) as entries:
            return sorted(one.path for one in itertools.islice(entries, LISTED_MAX + 1))
    except OSError:
        return []


def _kind(path: str, real: str, allowed: list[str], above: Iterable[str]) -> str:
    """Return `file`, `folder`, or why a path is neither. Raises OSError if it leads nowhere."""
    if not any(_is_below(real, one) for one in allowed):
        return "it is a link that leaves the output folder"
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode):
        return "file"
    if not stat.S_ISDIR(mode):
        return "it is a pipe, a socket or a device"
    if any(_is_below(one, real) for one in above):
        return "it is a link to a folder above it"
    if not os.access(path, os.R_OK | os.X_OK):
        return "it cannot be read: its mode does not allow it"
    return "folder"


def _is_below(path: str, folder: str) -> bool:
    """Return whether a path is a folder or lies in it."""
    return path == folder or path.startswith(folder + os.sep)


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # it may have become a pipe, which would wait


def _file(path: str, most: int) -> dict[str, Any]:
    """Return the size, the SHA-1 and the first bytes of a file; no bytes if they are too many."""
    digest = hashlib.sha1(usedforsecurity=False)
    head = b""
    size = 0
    keeps = HEAD_BYTES if os.path.basename(path) != OUTPUT_OBJECT else OUTPUT_OBJECT_BYTES
    with open(path, "rb", opener=_at_once) as file:
        left = os.fstat(file.fileno()).st_size  # a process that still writes may have no end
        while left > size:
            block = file.read(min(1 << 20, left - size))
            if not block:
                break
            if len(head) < keeps:
                head += block[: keeps - len(head)]
            digest.update(block)
            size += len(block)
    found: dict[str, Any] = {"bytes": size, "sha1": digest.hexdigest()}
    if os.access(path, os.X_OK):
        found["executable"] = True
    if len(head) <= most:
        found["head"] = head.hex()
    return found


def packed(spec: Mapping[str, Any]) -> list[str]:
    """Return a description as words of a command."""
    text = base64.b85encode(zlib.compress(json.dumps(spec).encode(), 6)).decode()
    return [text[at : at + WORD_MAX] for at in range(0, len(text), WORD_MAX)]


def unpacked(words: Iterable[str]) -> Any:
    """Return the description in words of a command."""
    return json.loads(zlib.decompress(base64.b85decode("".join(words))))


def filled(spec: Mapping[str, Any], task: str, files: Iterable[str]) -> dict[str, Any]:
    """Return the description of one task. Raises ValueError if a file has no place in it."""
    files = list(files)
    each = spec.get("each")
    found: dict[str, Any] = json.loads(json.dumps({**spec, "each": None}).replace(TASK, task))
    sources = dict(spec.get("sources", {}))
    if each is None:
        if len(files) > 1:
            raise ValueError(f"found {len(files)} files, expected one for a port of type File")
        for path in files:
            found = _with_file(found, path, 0)
    for number, path in enumerate(files):
        sources[f"{MARKS}/{number}/{os.path.basename(path)}"] = path
        if each is not None:
            one = _with_file(json.loads(json.dumps(each).replace(TASK, task)), path, number)
            at = each["at"] + number * len(each["words"])
            found["argv"][at:at] = one["words"]
            found["stage"] += one["stage"]
    found["sources"] = sources
    return found


def _with_file(value: Any, path: str, number: int) -> Any:
    """Put a file in place of the marks of file 0."""
    root, ext = os.path.splitext(os.path.basename(path))
    text = json.dumps(value)
    for mark in (f"{MARKS}/0/", f"{MARKS.replace('/', '_')}_0/"):
        text = text.replace(mark, f"{mark[:-2]}{number}/")
    for mark, part in ((f"{ROOT}0", root), (f"{EXT}0", ext)):
        text = text.replace(mark, json.dumps(part)[1:-1])
    return json.loads(text)


def _lay_inputs(spec: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Complete the inputs of a job; return the path of each on this machine."""
    for one in spec["made"]:
        (folder / one).mkdir(parents=True, exist_ok=True)
    for one in spec["executable"]:
        path = folder / one
        path.chmod(path.stat().st_mode | 0o111)
    return {source: str(folder / one) for source, one in spec["sources"].items()}


def _keep(
    spec: Mapping[str, Any], files: Iterable[Mapping[str, Any]], folder: Path
) -> dict[str, str]:
    """Make links to the files that can be outputs; return the names that the catalogue gets.

    Raises ValueError if it is not known which files are outputs of which port.
    """
    found = [one["path"] for one in files if one["kind"] == "file"]
    globs = spec.get("keep")
    stored: dict[str, str] = {}
    for number, one in enumerate(spec.get("store", ())):
        if OUTPUT_OBJECT in found:
            raise ValueError(f"{OUTPUT_OBJECT}: its files cannot be stored in the catalogue")
        to = one["to"].replace("{job}", os.environ.get("PILOTAGE_JOB", ""))
        for path in found:
            if path not in stored and any(_is_kept(path, glob) for glob in one["globs"]):
                stored[path] = f"{to}/{os.path.basename(path)}"
                _link(folder / STORED / str(number) / path, folder / "out" / path)
    if globs is not None and OUTPUT_OBJECT not in found:
        found = [one for one in found if any(_is_kept(one, glob) for glob in globs)]
    for path in found:
        if path not in stored:
            _link(folder / KEPT / path, folder / "out" / path)
    return stored


def _link(link: Path, to: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.realpath(str(to)))


def _is_kept(path: str, glob: str) -> bool:
    """Return whether a glob matches a path, or a folder above it."""
    parts, wanted = path.split("/"), os.path.normpath(glob).split("/")
    if wanted == ["."]:
        return True
    return len(parts) >= len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


def main() -> int:
    """Run the tool described by the arguments in this folder; write the result beside it."""
    words, folder = sys.argv[1:], Path.cwd()
    end = words.index("--") if "--" in words else len(words)
    spec = unpacked(words[:end])
    if end < len(words):
        spec = filled(spec, words[end + 1], words[end + 2 :])
    result = run(spec, folder, _lay_inputs(spec, folder))
    try:
        result["stored"] = _keep(spec, result["files"], folder)
    except ValueError as why:
        result.update(status=PERMANENT, why=result["why"] or str(why))
    if result["why"]:
        print(result["why"], file=sys.stderr)
    Path(RESULT).write_text(json.dumps(result))
    if result["status"] == TEMPORARY:
        return abs(result["code"]) or EX_TEMPFAIL
    return 0 if result["status"] == SUCCESS else abs(result["code"]) or 1


if __name__ == "__main__":
    sys.exit(main())
