"""The rungs of the isolation ladder: which works on this node, and how a payload is put into it.

    bubblewrap  own PID namespace, the pilot's folders hidden; dies with the guard
    unshare     own user and PID namespace (util-linux), the folders hidden; dies with the guard
    session     own session only; orphans come to the guard, and outlive it when it is killed

Images have rungs of their own (`images.py`). docs/isolation.md says what each rung promises.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ..guard import cgroups
from ..guard.held import FEED_FD
from .trial import try_out
from .wrapping import INIT, Wrapping, clean, exported, tool
from .wrapping import exports as exports

BUBBLEWRAP, UNSHARE, SESSION = "bubblewrap", "unshare", "session"
LADDER = (BUBBLEWRAP, UNSHARE, SESSION)  # best first
PROBE_PATIENCE_S = 10.0

# Where the user is root by mapping: make read-only what is given up to `:`, hide what is given up
# to the next, then show the own folders again, which are named by where they lie from the first of
# them, in which this starts. A second user namespace gives the user's own number back, and takes
# the right to undo any of it.
_HIDE = """set -e
user=$1 group=$2; shift 2
while [ "$1" != : ]; do
    mount -c --bind -o ro "$1" "$1"
    shift
done
shift
while [ "$1" != : ]; do
    if [ -d "$1" ]; then mount -t tmpfs -o mode=755 tmpfs "$1"
    elif [ -e "$1" ]; then mount --bind /dev/null "$1"; fi
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
cd "$first"; unset OLDPWD
exec unshare --user --map-user="$user" --map-group="$group" -- "$@"
"""


def wrap(
    rung: str,
    environment: Mapping[str, str],
    *,
    marks: Mapping[str, str],
    folders: Sequence[Path] = (),
    hidden: Sequence[Path] = (),
) -> Wrapping:
    """Return how a command is started on `rung` with `environment`, in the first of `folders`.

    `marks` also stand in the environment of the wrapper, so that its processes are known. `hidden`
    folders look empty to the payload but for its own `folders`, and `hidden` files too, on every
    rung but the plain session.
    """
    view = _View(tuple(folders), tuple(hidden), closed(rung) if folders else ())
    return _wrap(rung, environment, marks, view)


@dataclass(frozen=True)
class _View:
    """What a payload sees of the node other than it is."""

    folders: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    read_only: tuple[str, ...] = ()


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
    rung: str, *, marks: Mapping[str, str], folders: Sequence[Path], hidden: Sequence[Path]
) -> Optional[Wrapping]:
    """Return what builds a shelter ahead of its payload, or None where the rung has no use for it.

    A shell inside waits at FEED_FD for `exports` and the command, so that most of the work is done
    when a job comes. Only worth it where building takes longer than the shell does.
    """
    if rung != BUBBLEWRAP:
        return None
    words = _bubblewrap({}, _View(tuple(folders), tuple(hidden), closed(rung)))
    shell = ("/bin/sh", "-c", f". /dev/fd/{FEED_FD}")
    return Wrapping((tool("bwrap"), *words, "--", *shell), clean(marks))


def best_rung(ladder: Sequence[str] = LADDER) -> str:
    """Return the first rung of `ladder` on which a small command does what it should here."""
    return next((rung for rung in ladder if works(rung)), SESSION)


# What a trial hides, and where below it the trial has its own folder.
_PROBED = (Path("/var"), Path("/var/tmp"))


def works(rung: str) -> bool:
    """Whether a command on `rung` has its environment, hidden folders and PID namespace."""
    return rung == SESSION or bool(closed(rung)) or _trial(rung)


@functools.cache
def closed(rung: str) -> tuple[str, ...]:
    """Return the trees of control groups that are read-only on `rung`: all of this node, or none.

    Their files belong to the pilot's user where they are the pilot's: whoever may write to them can
    leave the limits of its group, and kill that of the pilot. This is tried once, since not every
    container lets us mount what it has mounted.
    """
    trees = cgroups.open_trees() if rung != SESSION else ()
    return trees if trees and _trial(rung, trees) else ()


def keeps_groups(rung: str) -> bool:
    """Whether payloads on `rung` may have control groups: they cannot reach them, or all else."""
    return rung == SESSION or bool(closed(rung))


def _trial(rung: str, read_only: tuple[str, ...] = ()) -> bool:
    hidden, own = _PROBED
    view = _View((own,), (hidden,), read_only)
    wrapping = _wrap(rung, {"PROBE": "it's"}, {"PILOTAGE_ATTEMPT": "0"}, view)
    seen = f'set -- {hidden}/*; test "$*" = {own} && test "$(pwd)" = {own}'
    test = f'test "$PROBE" = "it\'s" && test $$ -lt 10 && {seen} && exit 7'
    command = ("/bin/sh", "-c", test)
    return try_out(wrapping, command, folder=str(own), patience_s=PROBE_PATIENCE_S).code == 7


def dies_with_guard() -> tuple[str, ...]:
    """Return what lets a wrapper die with the process that started it."""
    return (tool("setpriv"), "--pdeathsig", "KILL", "--")


def _unshare(view: _View) -> tuple[str, ...]:
    words = (*dies_with_guard(), tool("unshare"), "--user")
    rest = ("--pid", "--fork", "--kill-child", "--mount-proc", "--")
    if not view.folders:
        return (*words, _map_option(), *rest)
    first = view.folders[0]
    shown = [word for one in view.folders for word in (str(one), os.path.relpath(one, first))]
    ours = (str(os.geteuid()), str(os.getegid()))
    given = (*ours, *view.read_only, ":", *map(str, view.hidden), ":", *shown, ":")
    return (*words, "--map-root-user", *rest, "/bin/sh", "-c", _HIDE, "hide", *given)


def _map_option() -> str:
    # Without the right to map itself by name, root is the only user that util-linux < 2.37 maps.
    return "--map-root-user" if os.geteuid() == 0 else "--map-current-user"


def _bubblewrap(environment: Mapping[str, str], view: _View) -> list[str]:
    words = ["--die-with-parent", "--unshare-pid", "--dev-bind", "/", "/", "--proc", "/proc"]
    if os.geteuid() == 0:  # root would have the right to take away what hides our folders
        words += ["--cap-drop", "ALL"]
    for tree in view.read_only:
        words += ["--ro-bind", tree, tree]
    for one in view.hidden:
        words += cover(str(one), str(one))
    for folder in view.folders:
        words += ["--bind", str(folder), str(folder)]
    if view.folders:
        words += ["--chdir", str(view.folders[0])]
    for name, value in environment.items():
        words += ["--setenv", name, value]
    return words


def cover(hidden: str, at: str) -> list[str]:
    """Return bubblewrap's words that make a folder or file look empty, if it is there."""
    if os.path.isdir(hidden):
        return ["--tmpfs", at]
    return ["--ro-bind", "/dev/null", at] if os.path.exists(hidden) else []
