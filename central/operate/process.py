"""What the process of a central asks of the system and of the interpreter."""

import gc
import resource
import shutil
import threading
from typing import Final

# How many objects more than before, and how many times, until a generation is walked: 10 000 take
# some 2 ms, 30 000 some 6.
YOUNG: Final = (10_000, 2, 2_000)
FILES_BESIDE: Final = 1_024  # the store, the broker and its connections, blobs


def allow_files(connections_max: int) -> None:
    """Raise our limit of open files as far as we may, if the connections need it.

    1024 is what many systems give; at the limit the server cannot accept, nor the store open.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections_max + FILES_BESIDE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def tied() -> tuple[str, ...]:
    """Return words before a command, so that SIGTERM ends it when this process has ended.

    Empty where `setpriv` of util-linux is missing. Also empty outside of the main thread, since the
    system sends the signal when the thread ends that has started the command.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return ()
    return (setpriv, "--pdeathsig", "TERM", "--")


def spare_the_collector() -> None:
    """What is in memory now stays: a full collection would walk all of it, for tens of ms.

    Of what comes later the youngest are walked often, so that no pass is long: a request leaves
    nothing to collect, and what a job leaves lives as long as its attempt.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*YOUNG)
