"""Payloads inside of container images: the tools that can do it, and how each is called.

    apptainer, singularity   .sif files and unpacked folders
    bubblewrap               unpacked folders, without any container tool
    podman                   archives, which it loads into a store of its own

On every rung the payload has its own folders under the names that they have outside, a /tmp of its
own, CVMFS, the node's network, and nothing else of the node's files. The root of the image cannot
be written to, or what is written there goes with the payload.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..guard.held_payload import FEED_FD
from .environment import DEFAULT_PATH
from .exposure import covers
from .isolation import BUBBLEWRAP, dies_with_guard, in_memory
from .tools import PODMAN
from .wrapping import INIT, Wrapping, can_export, clean, exported, tool

# What an image is given of the node's /etc, where that has it.
_OF_ETC = ("hosts", "resolv.conf", "passwd", "group", "localtime")
# What an unpacked Apptainer image says of its environment, then what the job says.
_IN_TREE = (
    f"export PATH={DEFAULT_PATH}; for one in 10-docker2singularity 90-environment; do "
    "one=/.singularity.d/env/$one.sh; "
    f'if [ -r "$one" ]; then . "$one"; fi; done; . /dev/fd/{FEED_FD}; exec {FEED_FD}<&-; exec "$@"'
)
# Hands the environment on to podman, and says nothing when that is killed.
_IN_NAMESPACE = 'exec 4>&2 2>/dev/null; "$@" 2>&4 4>&-; exit $?'


@dataclass(frozen=True)
class ImageMounts:
    """What an image is shown of the node."""

    work: Path
    tmp: Path
    shown: tuple[tuple[str, str], ...] = ()  # readable: by which name, and where it lies
    hidden: tuple[Path, ...] = ()  # empty, wherever it would show


@dataclass(frozen=True)
class ImagePrefix:
    """How a payload gets into an image: what stands before its command, and its environment."""

    rung: str
    prefix: tuple[str, ...]
    variables: str = ""  # the environment is handed over in variables with this prefix, else fed
    own: tuple[tuple[str, str], ...] = ()  # variables of the tool itself

    def wrap(
        self,
        environment: Mapping[str, str],
        *,
        first_on_path: Sequence[str],
        marks: Mapping[str, str],
    ) -> Wrapping:
        """Return how a command is started in the image."""
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
    rung: str, program: str, image: str, place: ImageMounts, gpus: str = ""
) -> ImagePrefix:
    """Return how Apptainer, or Singularity before it, is called. `gpus`: nvidia or amd."""
    name = rung.upper()
    words = [program, "--silent", "exec", "--containall", "--cleanenv"]
    words += ["--workdir", str(place.tmp), "--home", str(place.work), "--pwd", str(place.work)]
    words += ["--bind", str(place.tmp)]
    for name_inside, real in place.shown:
        words += ["--bind", f"{real}:{name_inside}:ro"]
    words += [
        option for vendor, option in (("nvidia", "--nv"), ("amd", "--rocm")) if gpus == vendor
    ]
    own = ((f"{name}_NO_EVAL", "1"), (f"{name}_TMPDIR", str(place.tmp)))
    # A shell says alike on every rung that a program is not there: 127.
    inside = ("/bin/sh", "-c", 'exec "$@"', "payload")
    return ImagePrefix(rung, (*dies_with_guard(), *words, image, *inside), f"{name}ENV_", own)


def bubblewrap(program: str, image: str, place: ImageMounts) -> ImagePrefix:
    """Return how bubblewrap puts a command into an unpacked tree. It looks into the tree."""
    binds = {
        **{f"/etc/{name}": ("--ro-bind", f"/etc/{name}") for name in _OF_ETC},
        **{name: ("--ro-bind", real) for name, real in place.shown},
        "/sys": ("--ro-bind", "/sys"),
        "/dev": ("--dev-bind", "/dev"),
        "/tmp": ("--bind", str(place.tmp)),
        "/var/tmp": ("--bind", str(place.tmp)),
        str(place.work): ("--bind", str(place.work)),
        str(place.tmp): ("--bind", str(place.tmp)),
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
    """Return the words that show a tree, of which the way to each target can be written to.

    Nothing can be mounted where a read-only tree has no folder. So folders on the way to a target
    are made anew, with what the tree has in them shown one by one.
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
    """Podman on this node, with a store of its own.

    It runs in a PID namespace around it: what it starts beside itself dies with the guard, too.
    """

    program: str
    folder: Path
    words: tuple[str, ...] = ()  # global options
    run_words: tuple[str, ...] = ()

    def command(self, *words: str) -> tuple[str, ...]:
        """Return how podman is called."""
        root = os.geteuid() == 0
        return (
            *(
                *dies_with_guard(),
                tool("unshare"),
                *(() if root else ("--user", "--map-root-user")),
            ),
            *("--pid", "--fork", "--kill-child", "--mount-proc", "--"),
            *("/bin/sh", "-c", _IN_NAMESPACE, "podman", self.program),
            *("--root", str(self.folder / "store"), "--runroot", str(self.folder / "run")),
            *("--tmpdir", str(self.folder / "tmp"), "--cgroup-manager", "cgroupfs"),
            *("--storage-opt", "ignore_chown_errors=true"),
            *self.words,
            *words,
        )

    def own(self) -> tuple[tuple[str, str], ...]:
        """Return the variables that podman is started with."""
        home = str(self.folder)
        said = [("HOME", home), ("XDG_RUNTIME_DIR", home), ("PODMAN_IGNORE_CGROUPSV1_WARNING", "1")]
        said.append(("CONTAINERS_CONF_OVERRIDE", str(self.folder / "containers.conf")))
        if os.geteuid() != 0:  # else it would make a user namespace inside of the one that it has
            said.append(("_CONTAINERS_USERNS_CONFIGURED", "done"))
            said.append(("_CONTAINERS_ROOTLESS_UID", str(os.geteuid())))
        return tuple(said)

    def entry(self, image: str, place: ImageMounts) -> ImagePrefix:
        """Return how a command is put into an image of the store."""
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
        inside = (*self.run_words, image, "-c", INIT, "payload")
        return ImagePrefix(PODMAN, self.command(*words, *inside), own=self.own())


# How podman gets along with control groups is known once it has been tried.
WAYS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    ((), ("--cgroups=disabled",)),
    (("--runtime", "runc"), ()),
    ((), ()),
)
CONTAINERS_CONF = '[engine]\nlock_type = "file"\nevents_logger = "none"\n'
