"""Payloads in container images: the tools, and how each is called.

    apptainer, singularity   .sif files and unpacked folders
    bubblewrap               unpacked folders, without any container tool
    podman                   archives, which it loads into its own store

On every rung, the payload has its own folders under their usual names, a private /tmp, CVMFS and
the node's network, but no other files of the node. The root of the image is read-only, or changes
to it end with the payload.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ..guard.held_payload import FEED_FD
from .environment import DEFAULT_PATH
from .exposure import covers
from .isolation import BUBBLEWRAP, dies_with_guard, in_memory
from .tools import PODMAN
from .wrapping import INIT, Wrapping, can_export, clean, exported, tool

# Files of the node's /etc that an image shows, if they exist.
_OF_ETC = ("hosts", "resolv.conf", "passwd", "group", "localtime")
# The environment of an unpacked Apptainer image, then that of the job.
_IN_TREE = (
    f"export PATH={DEFAULT_PATH}; for one in 10-docker2singularity 90-environment; do "
    "one=/.singularity.d/env/$one.sh; "
    f'if [ -r "$one" ]; then . "$one"; fi; done; . /dev/fd/{FEED_FD}; exec {FEED_FD}<&-; exec "$@"'
)
# Passes the environment to podman, and prints nothing when podman is killed.
_IN_NAMESPACE = 'exec 4>&2 2>/dev/null; "$@" 2>&4 4>&-; exit $?'


@dataclass(frozen=True)
class FetchedImage:
    """An image in the cache: the .sif file or the store, and the file that keeps it there."""

    path: Path
    lock: Path


@dataclass(frozen=True)
class ImageMounts:
    """The parts of the node that an image shows."""

    work: Path
    tmp: Path
    # Readable: the name in the image, and the place on the node.
    shown: tuple[tuple[str, str], ...] = ()
    hidden: tuple[Path, ...] = ()  # empty, wherever they would show
    lent: tuple[Path, ...] = ()  # folders beside its own that it can read


@dataclass(frozen=True)
class ImagePrefix:
    """The way of a payload into an image: the prefix of its command, and its environment."""

    rung: str
    prefix: tuple[str, ...]
    # The environment goes through variables with this prefix; empty: through the feed.
    variables: str = ""
    own: tuple[tuple[str, str], ...] = ()  # variables of the tool itself

    def wrap(
        self,
        environment: Mapping[str, str],
        *,
        first_on_path: Sequence[str],
        marks: Mapping[str, str],
    ) -> Wrapping:
        """Return the command line that starts a command in the image."""
        whole = {**environment, **marks}
        if self.variables:
            given = {k: v for k, v in whole.items() if can_export(k) and k != "HOME"}
            if first_on_path:
                given["PREPEND_PATH"] = ":".join(first_on_path)
            handed = {self.variables + name: value for name, value in given.items()}
            return Wrapping(self.prefix, {**clean(marks), **dict(self.own), **handed})
        feed = exported(whole)
        if first_on_path:
            feed += f'export PATH={shlex.quote(":".join(first_on_path))}:"$PATH"\n'
        return Wrapping(self.prefix, {**clean(marks), **dict(self.own)}, feed)


def apptainer(
    rung: str,
    program: str,
    image: str,
    place: ImageMounts,
    gpus: str = "",
    lock: Optional[Path] = None,
) -> ImagePrefix:
    """Return the call of Apptainer, or of Singularity, its predecessor. `gpus`: nvidia or amd."""
    name = rung.upper()
    words = [program, "--silent", "exec", "--containall", "--cleanenv"]
    words += ["--workdir", str(place.tmp), "--home", str(place.work), "--pwd", str(place.work)]
    words += ["--bind", str(place.tmp)]
    for name_inside, real in place.shown:
        words += ["--bind", f"{real}:{name_inside}:ro"]
    for one in place.lent:
        words += ["--bind", f"{one}:{one}:ro"]
    words += [
        option for vendor, option in (("nvidia", "--nv"), ("amd", "--rocm")) if gpus == vendor
    ]
    own = ((f"{name}_NO_EVAL", "1"), (f"{name}_TMPDIR", str(place.tmp)))
    # A shell reports a missing program in the same way on every rung: 127.
    inside = ("/bin/sh", "-c", 'exec "$@"', "payload")
    held = holds(lock) if lock is not None else ()
    prefix = (*dies_with_guard(), *held, *words, image, *inside)
    return ImagePrefix(rung, prefix, f"{name}ENV_", own)


def holds(lock: Path) -> tuple[str, ...]:
    """Return the options that keep a fetched image in the cache until a command has ended."""
    return (tool("flock"), "--shared", "--no-fork", str(lock))


def bubblewrap(program: str, image: str, place: ImageMounts) -> ImagePrefix:
    """Return the call of bubblewrap for a command in an unpacked tree. It reads the tree."""
    binds = {
        **{f"/etc/{name}": ("--ro-bind", f"/etc/{name}") for name in _OF_ETC},
        **{name: ("--ro-bind", real) for name, real in place.shown},
        "/sys": ("--ro-bind", "/sys"),
        "/dev": ("--dev-bind", "/dev"),
        "/tmp": ("--bind", str(place.tmp)),
        "/var/tmp": ("--bind", str(place.tmp)),
        str(place.work): ("--bind", str(place.work)),
        str(place.tmp): ("--bind", str(place.tmp)),
        **{
            str(one): ("--ro-bind", str(one)) for one in place.lent
        },  # after /tmp, which may contain it
    }
    binds = {to: how for to, how in binds.items() if os.path.exists(how[1])}
    words = [program, "--die-with-parent", "--unshare-pid", "--unshare-ipc"]
    if os.geteuid() == 0:
        words += ["--cap-drop", "ALL"]
    words += [*layers(image, (*binds, "/proc")), *covers("", image, place.hidden)]
    for to, (option, of) in binds.items():
        words += [option, of, to, *covers(to, of, place.hidden)]
    words += [word for one in in_memory() for word in one]
    words += ["--proc", "/proc", "--chdir", str(place.work), "--"]
    return ImagePrefix(BUBBLEWRAP, (*words, "/bin/sh", "-c", _IN_TREE, "payload"))


def layers(tree: str, targets: Sequence[str]) -> list[str]:
    """Return the options that show a tree in which the way to each target is writable.

    Nothing can be mounted on a missing folder of a read-only tree. So the folders on the way to a
    target are created again, and their entries in the tree are shown one by one.
    """
    words: list[str] = []
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(tree + folder + "/") as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            path = f"{folder}/{entry.name}"
            if path in targets:
                continue
            if any(one.startswith(path + "/") for one in targets):
                words += ["--dir", path]
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
            elif entry.is_symlink():
                words += ["--symlink", os.readlink(entry.path), path]
            elif entry.is_dir() or entry.is_file():
                words += ["--ro-bind", entry.path, path]
    return words


@dataclass(frozen=True)
class PodmanRuntime:
    """Podman on this node, with its own store. `lent`: another store, to be read only.

    It runs in an outer PID namespace, so that its helper processes die with the guard too.
    """

    program: str
    folder: Path
    words: tuple[str, ...] = ()  # global options
    run_words: tuple[str, ...] = ()
    lent: Optional[FetchedImage] = None

    def command(self, *words: str) -> tuple[str, ...]:
        """Return the command line of podman."""
        root = os.geteuid() == 0
        lent: tuple[str, ...] = ()
        if self.lent is not None:
            lent = ("--storage-opt", f"additionalimagestore={self.lent.path}")
        return (
            *(
                *dies_with_guard(),
                *(holds(self.lent.lock) if self.lent is not None else ()),
                tool("unshare"),
                *(() if root else ("--user", "--map-root-user")),
            ),
            *("--pid", "--fork", "--kill-child", "--mount-proc", "--"),
            *("/bin/sh", "-c", _IN_NAMESPACE, "podman", self.program),
            *("--root", str(self.folder / "store"), "--runroot", str(self.folder / "run")),
            *("--tmpdir", str(self.folder / "tmp"), "--cgroup-manager", "cgroupfs"),
            *("--storage-opt", "ignore_chown_errors=true"),
            *self.words,
            *lent,
            *words,
        )

    def own(self) -> tuple[tuple[str, str], ...]:
        """Return the variables for podman itself."""
        home = str(self.folder)
        said = [("HOME", home), ("XDG_RUNTIME_DIR", home), ("PODMAN_IGNORE_CGROUPSV1_WARNING", "1")]
        said.append(("CONTAINERS_CONF_OVERRIDE", str(self.folder / "containers.conf")))
        if os.geteuid() != 0:  # otherwise it would create a user namespace inside the existing one
            said.append(("_CONTAINERS_USERNS_CONFIGURED", "done"))
            said.append(("_CONTAINERS_ROOTLESS_UID", str(os.geteuid())))
        return tuple(said)

    def entry(self, image: str, place: ImageMounts) -> ImagePrefix:
        """Return how a command is started in an image of the store."""
        words = ["run", "--rm", "--pull=never", "--network=host", "--log-driver=none"]
        words += ["--read-only", "--read-only-tmpfs=false"]
        words += ["--cap-drop=all", "--security-opt=no-new-privileges"]
        words += ["--preserve-fds=1", "--entrypoint=/bin/sh", "--workdir", str(place.work)]
        for one in (place.work, place.tmp):
            words += ["--volume", f"{one}:{one}"]
        for name in ("/tmp", "/var/tmp"):
            words += ["--volume", f"{place.tmp}:{name}"]
        for name, real in place.shown:
            words += ["--volume", f"{real}:{name}:ro"]
        for one in place.lent:
            words += ["--volume", f"{one}:{one}:ro"]
        inside = (*self.run_words, image, "-c", INIT, "payload")
        return ImagePrefix(PODMAN, self.command(*words, *inside), own=self.own())


# Ways to run podman with or without control groups; only a trial shows which one works.
WAYS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    ((), ("--cgroups=disabled",)),
    (("--runtime", "runc"), ()),
    ((), ()),
)
CONTAINERS_CONF = '[engine]\nlock_type = "file"\nevents_logger = "none"\n'
