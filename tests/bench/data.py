"""What it takes to move files: the drivers, `pilotage data get` and a pilot, beside other tools.

Servers are real: XRootD with TLS and tokens, and an object store. Both tools of a figure take turns
in the same run, and each figure is a median over the rounds.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

from pilotage.pilot.data.davs_storage import DavsStorage
from pilotage.pilot.data.http_requests import HttpRequests
from pilotage.pilot.data.storages import ADLER32, SHA256, CopyLocation, Credential
from pilotage.proto.documents.job import DataInput, DataOutput, Job, JobData, Need
from pilotage.proto.job_states import JobState
from pilotage.proto.storages import StorageOptions
from tests.services import rucio, s3
from tests.services.folders import quick
from tests.services.xrootd import Xrootd

from .figures import Figure, figure
from .load.storages import BUCKET, COMMUNITY, GRID, SCOPE, DataRig, data_rig
from .machine import children, cpu_s
from .outbox import outbox

NAME: Final = "data"
PARALLEL: Final = 4  # files at once, by each tool that is given a number
JOB_S: Final = 300.0
SETTLED_S: Final = 1.0  # until the pilot has forgotten an ended job


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    stream_mb: int = 100  # of the file that passes in one stream
    rounds: int = 5  # of one stream, each way
    files: int = 1_000  # that `data get` fetches
    objects: int = 300  # and so many from the object store
    file_kb: int = 1_000
    fetches: int = 3  # of all files, by each tool
    staged: int = 500  # files into a job, and out of it
    staged_kb: int = 10
    outputs: int = 900  # of a job, to Rucio


FULL: Final = Scale()
WORK = (
    f"XRootD with TLS and tokens on loopback. One file of {FULL.stream_mb} MB by the `davs` driver "
    f"and by curl; {FULL.files:,} files of 1 MB by `pilotage data get` and by `xrdcp --parallel "
    f"{PARALLEL}`, {FULL.objects} from an object store by `aws s3 cp` if that is there; one job "
    f"with {FULL.staged} files of {FULL.staged_kb} kB in and {FULL.staged} out. Where Rucio can be "
    f"started, {FULL.outputs} outputs go to it, by the outbox and by bare requests."
)
BOUND: Final = (
    "Plain `xrdcp` verifies no checksum, so the goal compares `data get` with `xrdcp --cksum "
    "adler32:source`; the JSON has both. The CPU is the limit: TLS records have 16 kB, and "
    "Python reads one a call. curl verifies no checksum either; the `davs` driver computes SHA-256 "
    "in a thread beside, which shares two cores with the server."
)


def run() -> tuple[str, list[Figure]]:
    """Measure at full scale."""
    return WORK, measure(FULL)


def measure(scale: Scale) -> list[Figure]:
    """Measure each kind of transfer."""
    with data_rig() as data, tempfile.TemporaryDirectory(dir=quick()) as name:
        here, grid = Path(name), data.grid()
        figures = one_stream(scale, grid, here)
        figures += many_files(scale, data, grid, here)
        figures += staged_files(scale, data, grid)
        if _aws() and not s3.missing():
            figures += many_objects(scale, data, here)
    if not rucio.missing():
        with (
            rucio.rucio_server() as server,
            data_rig() as data,
            tempfile.TemporaryDirectory(dir=quick()) as name,
        ):
            figures += outbox(data, server, Path(name), files=scale.outputs, rounds=scale.fetches)
    return figures


# ---- one stream ----------------------------------------------------------------------------------


def one_stream(scale: Scale, grid: Xrootd, here: Path) -> list[Figure]:
    """Copy one file in and out, by the driver and by curl."""
    content = os.urandom(scale.stream_mb * 1_000_000)
    source, number = here / "source", iter(range(10**6))
    source.write_bytes(content)
    grid.lay("stream/file", content)
    token = grid.token("storage.read:/stream", "storage.create:/stream")
    header = here / "header"
    header.write_text(f"Authorization: Bearer {token}")
    curl = ["curl", "-sSf", "--cacert", str(grid.folder / "ca" / "ca.pem"), "-H", f"@{header}"]
    options = StorageOptions(needs_credential=True)
    there = CopyLocation(grid.url, "stream/file", options, Credential(token), SHA256)
    driver = DavsStorage()

    def next_place() -> CopyLocation:
        return replace(there, path=f"stream/out{next(number)}")

    def get() -> None:
        driver.get(there, here / "ours", bytes_max=len(content), go_on=_never)

    def get_as_of_rucio() -> None:
        place = replace(there, verified_by=ADLER32)
        driver.get(place, here / "ours", bytes_max=len(content), go_on=_never)

    def get_curl() -> None:
        _started([*curl, "-o", str(here / "theirs"), f"{grid.url}/stream/file"])

    def get_curl_summed() -> None:
        get_curl()
        _started(["sha256sum", str(here / "theirs")])

    def put() -> None:
        driver.put(source, next_place(), go_on=_never)

    def put_curl() -> None:
        _started([*curl, "-T", str(source), f"{grid.url}/{next_place().path}"])

    def put_summed() -> None:
        options = replace(there.options, checksum="adler32")
        driver.put(source, replace(next_place(), options=options), go_on=_never)

    figures: list[Figure] = []
    pairs: dict[str, dict[str, Callable[[], None]]] = {
        "get": {"davs": get, "curl": get_curl, "curl and sha256sum": get_curl_summed},
        "get with Adler-32": {"davs": get_as_of_rucio, "curl": get_curl},
        "put": {"davs": put, "curl": put_curl},
    }
    for what, tools in pairs.items():
        times = _in_turns(scale.rounds, tools)
        figures += _beside(f"one stream, {what}", times, scale.stream_mb, "MB/s")
        for file in (grid.files / "stream").glob("out*"):
            file.unlink()
    assert (here / "ours").read_bytes() == (here / "theirs").read_bytes() == content
    (took,) = _in_turns(1, {"": put_summed}).values()
    name = "one stream, put, and the server's checksum"
    return [*figures, figure(NAME, name, scale.stream_mb / took[0], "MB/s")]


# ---- many files ----------------------------------------------------------------------------------


def many_files(scale: Scale, data: DataRig, grid: Xrootd, here: Path) -> list[Figure]:
    """Fetch many files, by the command line and by xrdcp, without and with the checksum.

    As with files of Rucio, the catalogue has their Adler-32, which xrdcp compares too. The server
    knows its checksums, as it does of files that were stored with them.
    """
    names, content = _names("many", scale.files), os.urandom(scale.file_kb * 1_000)
    _lay(grid, names, content)
    data.register(names, content, GRID, "many", has_sha256=False)
    ours, theirs = here / "ours-many", here / "theirs-many"
    token = here / "token"
    token.touch(mode=0o600)
    token.write_text(grid.token(f"storage.read:/{COMMUNITY}/many"))
    environ = {**os.environ, "BEARER_TOKEN_FILE": str(token), "XrdSecPROTOCOL": "ztn"}
    sources = here / "sources"
    sources.write_text("".join(f"{grid.root_url}/{COMMUNITY}/{name}\n" for name in names))
    xrdcp = ["xrdcp", "--silent", "--parallel", str(PARALLEL), "--infiles", str(sources)]

    def by_xrdcp(*more: str) -> None:
        theirs.mkdir()
        _started([*xrdcp, *more, str(theirs)], environ)

    _let_know_sums(grid, names, token.read_text())
    verified = ("--cksum", "adler32:source")
    times = _fetched(
        scale,
        {
            "data get": (lambda: _data_get(data, "many", ours, PARALLEL), ours),
            "xrdcp": (by_xrdcp, theirs),
            "xrdcp --cksum": (lambda: by_xrdcp(*verified), theirs),
        },
    )
    return _beside("files of 1 MB", times, scale.files, "files/s")


def _let_know_sums(grid: Xrootd, names: Sequence[str], token: str) -> None:
    """Let the server compute the checksum of the first file, and keep it with its equals.

    It stalls at times if it has to compute many: `xrdcp --cksum` then waits, once for ever.
    """
    headers = {"Authorization": f"Bearer {token}", "Want-Digest": "adler32"}
    url = f"{grid.url}/{COMMUNITY}/{names[0]}"
    with closing(HttpRequests().asked("HEAD", url, headers=headers)) as head:
        assert head.getheader("Digest"), f"{head.status}: the server gives no checksum"
    first, *others = (grid.files / COMMUNITY / name for name in names)
    (attribute,) = (one for one in os.listxattr(first) if "adler32" in one.lower())
    value, found = os.getxattr(first, attribute), first.stat()
    for one in others:
        os.utime(one, ns=(found.st_atime_ns, found.st_mtime_ns))  # part of what is kept
        os.setxattr(one, attribute, value)


def many_objects(scale: Scale, data: DataRig, here: Path) -> list[Figure]:
    """Fetch many objects, by the command line and by the tool of Amazon."""
    store = data.bucket()
    names, content = _names("objects", scale.objects), os.urandom(scale.file_kb * 1_000)
    for name in names:
        store.lay(f"{COMMUNITY}/{name}", content)
    data.register(names, content, BUCKET, "objects")
    ours, theirs = here / "ours-objects", here / "theirs-objects"
    at_once = 10  # the tool's own number
    environ = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": s3.KEY,
        "AWS_SECRET_ACCESS_KEY": s3.SECRET,
        "AWS_DEFAULT_REGION": s3.REGION,
        "AWS_CONFIG_FILE": os.devnull,
    }
    endpoint, _, bucket = store.url.rpartition("/")
    aws = [_aws(), "--endpoint-url", endpoint, "s3", "cp", "--recursive", "--only-show-errors"]

    def by_aws() -> None:
        _started([*aws, f"s3://{bucket}/{COMMUNITY}/objects", str(theirs)], environ)

    times = _fetched(
        replace(scale, files=scale.objects),
        {
            "data get": (lambda: _data_get(data, "objects", ours, at_once), ours),
            "aws s3 cp": (by_aws, theirs),
        },
    )
    return _beside("objects of 1 MB", times, scale.objects, "files/s")


def _data_get(data: DataRig, dataset: str, to: Path, parallel: int) -> None:
    words = ["data", "get", "--dataset", f"{SCOPE}:{dataset}", "--to", str(to)]
    environ = {**os.environ, "PILOTAGE_DATA": str(data.data)}
    command = [sys.executable, "-m", "pilotage.central.cli", *words, "--parallel", str(parallel)]
    _started(command, environ)


def _fetched(
    scale: Scale, tools: Mapping[str, tuple[Callable[[], None], Path]]
) -> dict[str, list[float]]:
    """Let each tool fetch all files in each round; return their times."""
    times: dict[str, list[float]] = {tool: [] for tool in tools}
    for _ in range(scale.fetches):
        for tool, (fetch, to) in tools.items():
            times[tool] += _in_turns(1, {tool: fetch})[tool]
            sizes = [one.stat().st_size for one in to.rglob("*") if one.is_file()]
            assert sizes == [scale.file_kb * 1_000] * scale.files, f"{tool} fetched {len(sizes)}"
            shutil.rmtree(to)
    return times


# ---- a pilot -------------------------------------------------------------------------------------


def staged_files(scale: Scale, data: DataRig, grid: Xrootd) -> list[Figure]:
    """Run a job with many small files, and count the CPU of its pilot."""
    names, content = _names("small", scale.staged), os.urandom(scale.staged_kb * 1_000)
    _lay(grid, names, content)
    data.register(names, content, GRID, "small")
    (pilot,) = data.bench.pilots(1, cores=2, isolation="auto")
    pids = [pilot.process.pid, *children(pilot.process.pid)]
    _copies(data, f"{SCOPE}:{names[0]}", "first")
    before = sum(cpu_s(pid) for pid in pids)
    began = time.perf_counter()
    _copies(data, f"{SCOPE}:small", "second")
    took = time.perf_counter() - began
    time.sleep(SETTLED_S)
    used = sum(cpu_s(pid) for pid in pids) - before
    moved = 2 * scale.staged
    return [
        figure(NAME, "a staged file, CPU of pilot and guard", 1_000 * used / moved, "ms/file"),
        figure(NAME, "staged files of one job", moved / took, "files/s"),
    ]


def _copies(data: DataRig, did: str, folder: str) -> None:
    """Run a job that makes an output of each input."""
    job = Job(
        command=("sh", "-c", 'mkdir out; for one; do cp "$one" out/; done', "copy", "{inputs}"),
        data=JobData(
            inputs=(DataInput(did=did, to="in"),),
            outputs=(DataOutput(pattern="out/*", name=f"{folder}/{{file}}"),),
        ),
        needs=(Need(wall_s=600),),
    )
    (handle,) = data.bench.client.submit([job]).handles()
    view = handle.wait(timeout_s=JOB_S)
    assert view.state is JobState.DONE, f"the job is {view.state}: {view.reason}"


# ---- tools ---------------------------------------------------------------------------------------


def _beside(
    what: str, times: Mapping[str, Sequence[float]], amount: float, unit: str
) -> list[Figure]:
    """Return the rate of ours, and for each other tool its rate and the median of the ratios."""
    (tool, ours), *peers = times.items()
    figures = [figure(NAME, f"{what}: {tool}", amount / median(ours), unit)]
    for peer, theirs in peers:
        share = median(100 * their / our for our, their in zip(ours, theirs, strict=True))
        figures.append(figure(NAME, f"{what}: {peer}", amount / median(theirs), unit))
        figures.append(figure(NAME, f"{what}: {tool}, of {peer}", share, "%"))
    return figures


def _in_turns(rounds: int, acts: Mapping[str, Callable[[], None]]) -> dict[str, list[float]]:
    """Return how long each act took in each round."""
    times: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds):
        for name, act in acts.items():
            began = time.perf_counter()
            act()
            times[name].append(time.perf_counter() - began)
    return times


def _started(words: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=JOB_S)
    assert not done.returncode, f"{words[:4]} failed: {done.stderr[-2_000:]}"


def _names(folder: str, count: int) -> list[str]:
    return [f"{folder}/f{number:05}" for number in range(count)]


def _lay(grid: Xrootd, names: Sequence[str], content: bytes) -> None:
    for name in names:
        target = grid.files / COMMUNITY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    grid.own(grid.files)


def _aws() -> str:
    return shutil.which("aws") or ""


def _never() -> None:
    """Never stop the work."""
