"""Settings of the operating system and the interpreter for the process of a central."""

import gc
import resource
import shutil
import threading
from typing import Final

# How many new objects start a collection of the youngest generation, and how many collections start
# one of the next: 10 000 objects take some 2 ms, 30 000 some 6.
YOUNG: Final = (10_000, 2, 2_000)
FILES_BESIDE: Final = 1_024  # for the store, the broker and its connections, blobs


def allow_files(connections_max: int) -> None:
    """Raise the limit of open files as far as allowed, if the connections need it.

    Many systems allow 1024. At the limit, neither the server can accept nor the store open files.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections_max + FILES_BESIDE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def tied() -> tuple[str, ...]:
    """Return words in front of a command, so that it gets SIGTERM when this process ends.

    Empty if `setpriv` of util-linux is missing. Also empty outside of the main thread, because the
    signal is sent when the thread that started the command ends.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return ()
    return (setpriv, "--pdeathsig", "TERM", "--")


def spare_the_collector() -> None:
    """Exclude all present objects from collections: a full one would take tens of ms.

    The youngest of later objects are collected often, so that no pass is long: a request leaves no
    cycles, and the objects of a job live as long as its attempt.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*YOUNG)
