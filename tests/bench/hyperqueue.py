"""HyperQueue on the same work in the same run, from PyPI, in an environment of its own.

The package has the API only: a server and workers as threads of one process, without a journal.
"""

import subprocess
import tempfile
import venv
from pathlib import Path

from .figures import Figure, figure

SCRIPT = """
import sys, time
from pathlib import Path
from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig
count, folder = int(sys.argv[1]), Path(sys.argv[2])
with LocalCluster(str(folder / "server")) as cluster:
    cluster.start_worker(WorkerConfig(cores=2))
    client = cluster.client()
    job = Job(default_workdir=str(folder / "work"))
    for _ in range(count):
        job.program(["true"], stdout=None, stderr=None)
    began = time.perf_counter()
    submitted = client.submit(job)
    client.wait_for_jobs([submitted])
    print(time.perf_counter() - began)
"""

FUNCTIONS = """
import sys, time
from pathlib import Path
from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig
from hyperqueue.task.function import PythonEnv
count, folder = int(sys.argv[1]), Path(sys.argv[2])
def square(x):
    return x * x
with LocalCluster(str(folder / "server")) as cluster:
    cluster.start_worker(WorkerConfig(cores=16))
    client = cluster.client(python_env=PythonEnv(python_bin=sys.executable))
    job = Job(default_workdir=str(folder / "work"))
    for number in range(count):
        job.function(square, args=(number,), stdout=None, stderr=None)
    began = time.perf_counter()
    client.wait_for_jobs([client.submit(job)])
    print(time.perf_counter() - began)
"""


class NoPeer(Exception):
    """The peer cannot be had or does not run here."""


def rate(jobs: int) -> float:
    """Return the no-op jobs per second that HyperQueue runs here. Raises NoPeer."""
    return jobs / _seconds(SCRIPT, jobs)


def function_rate(calls: int) -> float:
    """Return the Python functions per second that it runs here, 16 at once. Raises NoPeer."""
    return calls / _seconds(FUNCTIONS, calls)


def _seconds(script: str, count: int) -> float:
    with tempfile.TemporaryDirectory(prefix="pilotage-peer-") as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        _call([str(python), "-m", "pip", "install", "-q", "hyperqueue", "cloudpickle"])
        (folder / "run.py").write_text(script)
        (folder / "work").mkdir()
        words = [str(python), str(folder / "run.py"), str(count), str(folder)]
        return float(_call(words).split()[-1])


def _call(words: list[str]) -> str:
    try:
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=600).stdout
    except (subprocess.SubprocessError, OSError) as why:
        text = getattr(why, "stderr", "") or str(why)
        raise NoPeer(f"{words[0]}: {text[-500:]}") from None


def figures(ours: float, jobs: int) -> list[Figure]:
    """Return the peer's figure, and the ratio of ours to it."""
    theirs = rate(jobs)
    return [
        figure("noop", "HyperQueue, same run", theirs, "jobs/s"),
        figure("noop", "ratio to HyperQueue", ours / theirs, "×"),
    ]
