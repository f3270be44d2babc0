"""A warm `pilotage-cwl-runner`: it loads the library and the schemas once, and forks for each call.

A cold start takes a second, and the gate calls the runner a hundred times. The runner that cwltest
gets is a small script. It hands its arguments and streams to the warm process, and ends with the
exit code from there.
"""

import gc
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

CALL_MAX: Final = 1 << 16  # bytes of the arguments
BROKEN: Final = 70  # the warm process ended without an answer

SCRIPT: Final = f"""#!{sys.executable} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as warm:
    warm.connect(os.path.join(os.path.dirname(__file__), "warm.socket"))
    call = json.dumps([os.getcwd(), sys.argv[1:]]).encode()
    socket.send_fds(warm, [call], [0, 1, 2])
    warm.shutdown(socket.SHUT_WR)
    code = warm.recv(1)
sys.exit(code[0] if code else {BROKEN})
"""


@contextmanager
def runner() -> Iterator[Path]:
    """Start the warm process; yield the path of the script."""
    with tempfile.TemporaryDirectory(
        prefix="pilotage-cwl-", dir="/tmp", ignore_cleanup_errors=True
    ) as folder:
        script, door = Path(folder) / "runner", Path(folder) / "warm.socket"
        script.write_text(SCRIPT)
        script.chmod(0o755)
        # QuickJS has an idle thread, which a fork may lose.
        words = [sys.executable, "-W", "ignore", "-m", "tests.cwl.warm", str(door)]
        pipe = subprocess.PIPE
        with subprocess.Popen(words, stdin=pipe, stdout=pipe) as process:
            assert process.stdin is not None and process.stdout is not None
            with process.stdin:
                assert process.stdout.readline() == b"ready\n"
                yield script


def serve(path: str) -> None:
    """Answer calls, each in a fork, until nobody holds the other end of standard input.

    Then remove the folder: a killed pytest cannot.
    """
    from cwltool.process import get_schema

    from pilotage.central.cli.cwl.runner import main

    for version in ("v1.0", "v1.1", "v1.2"):
        get_schema(version)
    gc.collect()
    gc.freeze()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(path)
        listening.listen(16)
        print("ready", flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while sys.stdin not in select.select([listening, sys.stdin], [], [])[0]:
            caller, _ = listening.accept()
            with caller:
                if os.fork() == 0:
                    listening.close()
                    _answer(caller, main)
                    return
    shutil.rmtree(os.path.dirname(path), ignore_errors=True)


def _answer(caller: socket.socket, main: Callable[[list[str]], int]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    call, streams, _, _ = socket.recv_fds(caller, CALL_MAX, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    folder, words = json.loads(call)
    os.chdir(folder)
    try:
        code = main(words)
    except SystemExit as why:  # of argparse
        code = why.code if isinstance(why.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    caller.sendall(bytes([code]))


if __name__ == "__main__":
    serve(sys.argv[1])
