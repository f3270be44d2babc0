"""The rungs of the isolation ladder: which ones work on this node, and how each starts a payload.

    bubblewrap  own PID and IPC namespaces, pilots' folders hidden, a private /tmp; dies with the
                guard
    unshare     the same by util-linux, in a user namespace; dies with the guard
    session     own session only; orphans come to the guard, and outlive it when it is killed

Images have their own rungs (`images.py`). docs/isolation.md describes the guarantees of each rung.
"""

import functools
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from ..guard import cgroups
from ..guard.held_payload import FEED_FD
from .trial import try_out
from .wrapping import INIT, Wrapping, clean, exported, exports as exports, tool

WORK, TMP, PRIVATE = "work", "tmp", "private"  # in the folder of an attempt
BUBBLEWRAP, UNSHARE, SESSION = "bubblewrap", "unshare", "session"
LADDER = (BUBBLEWRAP, UNSHARE, SESSION)  # best first
PROBE_PATIENCE_S = 10.0

# Places that are private to each payload, instead of the node's: on its disk, and in its memory.
ON_DISK = ("/tmp", "/var/tmp")
IN_MEMORY = "/dev/shm"
_QUEUES = "/dev/mqueue"  # shows the queues of the IPC namespace in which it was mounted

# A script for a user who is root by mapping. Its arguments are lists that each end with `:`. First,
# make the paths of the first list read-only, and hide those of the second. Mount the third list,
# the visible parts of the node's /tmp, in the private folder. Mount that folder at each place of
# the fourth list. Then show the payload's own folders again, and those of the sixth list without
# the right to write. Paths are relative to the first own folder, in which the script starts. A
# second user namespace restores the user's own number, and removes the right to undo these steps.
_HIDE = """set -e
user=$1 group=$2; shift 2
while [ "$1" != : ]; do
    mount -c --bind -o ro "$1" "$1"
    shift
done
shift
while [ "$1" != : ]; do
    if [ "$1" = /dev/shm ] || [ "$1" = /run/shm ]; then mount -t tmpfs -o mode=755 tmpfs "$1"
    elif [ -d "$1" ]; then mount -t tmpfs -o mode=755,size=1m tmpfs "$1"
    elif [ -e "$1" ]; then mount --bind /dev/null "$1"; fi
    shift
done
shift
private=$1; shift
while [ "$1" != : ]; do
    if [ -d "$2" ]; then mkdir -p "$private/$1"
    else mkdir -p "$(dirname "$private/$1")"; : >"$private/$1"; fi
    mount -c --rbind "$2" "$private/$1"
    shift 2
done
shift
while [ "$1" != : ]; do
    mount -c --rbind "$private" "$1"
    shift
done
shift
first=$1 second=$1
if [ "$3" != : ]; then second=$3; fi
mkdir -p "$first" "$second"
while [ "$1" != : ]; do
    if [ ! -d "$1" ]; then mkdir -p "$1"; fi
    mount -c --bind "$2" "$1"
    shift 2
done
shift
while [ "$1" != : ]; do
    if [ ! -d "$1" ]; then mkdir -p "$1"; fi
    mount -c --bind -o ro "$2" "$1"
    shift 2
done
shift
cd "$first"; unset OLDPWD
exec unshare --user --map-user="$user" --map-group="$group" -- "$@"
"""


def wrap(
    rung: str,
    environment: Mapping[str, str],
    *,
    marks: Mapping[str, str],
    folder: Optional[Path] = None,
    hidden: Iterable[Path] = (),
    shown: Iterable[str] = (),
    lent: tuple[Path, ...] = (),
) -> Wrapping:
    """Return the command line of a command on `rung` with `environment`, in an attempt's folder.

    `marks` are also in the environment of the wrapper, so that its processes can be identified. On
    every rung except the plain session, `hidden` folders and files look empty to the payload. It
    has a private /tmp, which shows its own folders and, of the node's /tmp, `shown`. It can read
    the `lent` folders in its attempt's folder, but not change them.
    """
    view = _View()
    if folder is not None:
        view = replace(_view(rung, folder, hidden, shown), lent=lent)
    return _wrap(rung, environment, marks, view)


@dataclass(frozen=True)
class _View:
    """The differences between the node and what a payload sees."""

    folders: tuple[Path, ...] = ()  # its own folders
    private: Optional[Path] = None  # the content of its /tmp
    hidden: tuple[Path, ...] = ()
    read_only: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    lent: tuple[Path, ...] = ()  # folders beside its own that it can read


def _view(rung: str, folder: Path, hidden: Iterable[Path], shown: Iterable[str] = ()) -> _View:
    return _seen(folder, hidden, closed(rung), shown)


def _seen(
    folder: Path, hidden: Iterable[Path], read_only: tuple[str, ...], shown: Iterable[str] = ()
) -> _View:
    return _View(
        folders=(folder / WORK, folder / TMP),
        private=folder / PRIVATE,
        hidden=_public(tuple(hidden)),
        read_only=read_only,
        shown=tuple(one for one in shown if is_private(one) and os.path.exists(one)),
    )


@functools.lru_cache(maxsize=4)
def _public(hidden: tuple[Path, ...]) -> tuple[Path, ...]:
    return tuple(one for one in hidden if not is_private(str(one)))


def is_private(path: str) -> bool:
    """Return whether each payload has a private folder at the place of this path."""
    return any(path == one or path.startswith(f"{one}/") for one in map(str, private_roots()))


@functools.cache
def private_places() -> tuple[str, ...]:
    """Return the mount points of a payload's private folder, without links."""
    return tuple(dict.fromkeys(os.path.realpath(one) for one in ON_DISK if os.path.isdir(one)))


@functools.cache
def private_roots() -> tuple[Path, ...]:
    """Return all places that are private to each payload, without links."""
    return (*map(Path, private_places()), Path(os.path.realpath(IN_MEMORY)))


def in_memory() -> list[tuple[str, str]]:
    """Return bubblewrap's options for the parts of /dev that show memory shared by payloads."""
    shared = os.path.realpath(IN_MEMORY)
    words = [("--tmpfs", shared)] if os.path.isdir(shared) else []
    return [*words, ("--tmpfs", _QUEUES)] if os.path.ismount(_QUEUES) else words


def _wrap(
    rung: str, environment: Mapping[str, str], marks: Mapping[str, str], view: _View
) -> Wrapping:
    if rung == SESSION:
        return Wrapping((), {**environment, **marks})
    whole = {**environment, **marks}
    if rung == BUBBLEWRAP:
        return Wrapping(
            (tool("bwrap"), "--args", str(FEED_FD), "--"),
            clean(marks),
            "".join(word + "\0" for word in _bubblewrap(whole, view)),
        )
    return Wrapping((*_unshare(view), *INSIDE), clean(marks), exported(whole))


INSIDE = ("/bin/sh", "-c", INIT, "payload")


def shelter(
    rung: str, *, marks: Mapping[str, str], folder: Path, hidden: Iterable[Path]
) -> Optional[Wrapping]:
    """Return the command that builds a shelter before its payload is known; None on other rungs.

    A shell inside waits at FEED_FD for `exports` and the command, so that most of the work is done
    when a job comes. This is worth it only if building takes longer than the shell.
    """
    if rung != BUBBLEWRAP:
        return None
    words = _bubblewrap({}, _view(rung, folder, hidden))
    shell = ("/bin/sh", "-c", f". /dev/fd/{FEED_FD}")
    return Wrapping((tool("bwrap"), *words, "--", *shell), clean(marks))


def best_rung(ladder: Sequence[str] = LADDER) -> str:
    """Return the first rung of `ladder` on which a small test command works here."""
    return next((rung for rung in ladder if works(rung)), SESSION)


def works(rung: str) -> bool:
    """Return whether a command on `rung` gets its environment, hidden folders and PID namespace."""
    return rung == SESSION or bool(closed(rung)) or _trial(rung)


@functools.cache
def closed(rung: str) -> tuple[str, ...]:
    """Return the trees of control groups that are read-only on `rung`: all of this node, or none.

    If the files belong to the pilot's user, a payload that may write to them could leave the limits
    of its group, and kill the pilot's group. This is tried once, because not every container
    permits mounts over its own mounts.
    """
    trees = cgroups.open_trees() if rung != SESSION else ()
    return trees if trees and _trial(rung, trees) else ()


def keeps_groups(rung: str) -> bool:
    """Return whether payloads on `rung` may have control groups: they cannot write to the trees."""
    return rung == SESSION or bool(closed(rung))


# The environment, the PID namespace, the hidden paths, its own folder and its own /tmp.
_TEST = """test "$PROBE" = "it's" && test $$ -lt 10 && ! test -e "$1" && test "$(pwd)" = "$2" &&
test -e /tmp/of-payload && test -z "$(ls -A /dev/shm)" && exit 7"""


def _trial(rung: str, read_only: tuple[str, ...] = ()) -> bool:
    with tempfile.TemporaryDirectory(prefix="pilotage-trial-") as name:
        hidden = Path(os.path.realpath(name))
        own = hidden / "own"
        for part in (WORK, TMP, PRIVATE):
            (own / part).mkdir(parents=True)
        for file in (hidden / "secret", own / PRIVATE / "of-payload"):
            file.touch()
        view = _seen(own, (hidden,), read_only)
        wrapping = _wrap(rung, {"PROBE": "it's"}, {"PILOTAGE_ATTEMPT": "0"}, view)
        command = ("/bin/sh", "-c", _TEST, "trial", str(hidden / "secret"), str(own / WORK))
        work = str(own / WORK)
        return try_out(wrapping, command, folder=work, patience_s=PROBE_PATIENCE_S).code == 7


def dies_with_guard() -> tuple[str, ...]:
    """Return the options that let a wrapper die with the process that started it."""
    return (tool("setpriv"), "--pdeathsig", "KILL", "--")


def _unshare(view: _View) -> tuple[str, ...]:
    words = (*dies_with_guard(), tool("unshare"), "--user")
    rest = ("--ipc", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
    if view.private is None:
        return (*words, _map_option(), *rest)
    first = view.folders[0]
    own, lent = (
        [word for one in folders for word in (str(one), os.path.relpath(one, first))]
        for folders in (view.folders, view.lent)
    )
    ours = (str(os.geteuid()), str(os.getegid()))
    hidden = (*(path for _, path in in_memory()), *map(str, view.hidden))
    private = (os.path.relpath(view.private, first), *_inside(view.shown), ":", *private_places())
    given = (*ours, *view.read_only, ":", *hidden, ":", *private, ":", *own, ":", *lent, ":")
    return (*words, "--map-root-user", *rest, "/bin/sh", "-c", _HIDE, "hide", *given)


def _inside(shown: Iterable[str]) -> Iterable[str]:
    """Return pairs: the place of a path in the private folder, and the path."""
    for path in shown:
        place = next(one for one in private_places() if path.startswith(one + "/"))
        yield from (path[len(place) + 1 :], path)


def _map_option() -> str:
    # Without the right to map itself by name, root is the only user that util-linux < 2.37 maps.
    return "--map-root-user" if os.geteuid() == 0 else "--map-current-user"


def _bubblewrap(environment: Mapping[str, str], view: _View) -> list[str]:
    words = ["--die-with-parent", "--unshare-pid", "--unshare-ipc"]
    words += ["--dev-bind", "/", "/", "--proc", "/proc"]
    if os.geteuid() == 0:  # root could otherwise remove the mounts that hide folders
        words += ["--cap-drop", "ALL"]
    for tree in view.read_only:
        words += ["--ro-bind", tree, tree]
    if view.private is not None:
        words += _apart(view, view.private)
    for name, value in environment.items():
        words += ["--setenv", name, value]
    return words


def _apart(view: _View, private: Path) -> list[str]:
    covers = [cover(str(one), str(one)) for one in view.hidden]
    words = [word for one in (*covers, *in_memory()) for word in one]
    for place in private_places():
        words += ["--bind", str(private), place]
    ways = _ways(view.folders)
    for way in ways:
        words += ["--tmpfs", way]
    for path in (*view.shown, *map(str, view.folders)):
        words += ["--bind", path, path]
    for path in map(str, view.lent):
        words += ["--ro-bind", path, path]
    in_memory_only = [one[1] for one in covers if one[:1] == ["--tmpfs"]]
    for path in (*in_memory_only, *ways):  # otherwise a payload could use its memory for files
        words += ["--remount-ro", path]
    return [*words, "--chdir", str(view.folders[0])]


def _ways(folders: Iterable[Path]) -> Iterable[str]:
    """Return the first parts of the paths of own folders in a private place.

    The folders on the way to them are created in memory. On the disk, each payload would leave them
    behind.
    """
    found = [
        "/".join(str(folder).split("/")[: place.count("/") + 2])
        for folder in folders
        for place in private_places()
        if str(folder).startswith(f"{place}/")
    ]
    return dict.fromkeys(found)


def cover(hidden: str, at: str) -> list[str]:
    """Return bubblewrap's options that make an existing folder or file look empty."""
    if os.path.isdir(hidden):
        return ["--tmpfs", at]
    return ["--ro-bind", "/dev/null", at] if os.path.exists(hidden) else []
