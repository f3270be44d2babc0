"""The files that travel between an `Executor` and its jobs: pickled calls, pickled results.

Only results of the user's own jobs are unpickled: a pickle can run any code.
"""

import functools
import pickle
import py_compile
import site
import sys
import sysconfig
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from ..errors import MissingPackage
from . import call_worker
from .call_worker import PROTOCOL, SECONDS

_PACK_BYTES: Final = 256 << 10  # a file of calls; a larger function has a file of its own
_MAIN: Final = """\
import sys
if sys.version_info[:2] != {version}:
    sys.exit(
        "%s is Python %d.%d, but the caller has {dotted}: name a Python {dotted} with"
        " Executor(python=...)" % ((sys.executable,) + tuple(sys.version_info[:2]))
    )
from call_worker import main
main()
"""


class RemoteTraceback(Exception):
    """The traceback of an exception in a job, as text. It is the cause of that exception."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class CallPickler:
    """Pickles functions and arguments. Raises MissingPackage if there is no cloudpickle.

    Functions and classes of the program's own modules travel by value, because a node does not have
    these modules. Those of installed packages travel by name.
    """

    def __init__(self) -> None:
        self._cloudpickle = _cloudpickle()
        self._lock = threading.Lock()

    def pickled(self, value: object, function: object) -> bytes:
        """Return a pickled function, or arguments of it."""
        own = _own_package(function)
        with self._lock:
            known = self._cloudpickle.list_registry_pickle_by_value()
            is_new = own is not None and own.__name__ not in known
            if is_new:
                self._cloudpickle.register_pickle_by_value(own)
            try:
                found: bytes = self._cloudpickle.dumps(value, PROTOCOL)
                return found
            finally:
                if is_new:
                    self._cloudpickle.unregister_pickle_by_value(own)


def _cloudpickle() -> Any:
    try:
        return import_module("cloudpickle")
    except ImportError:
        why = "pilotage.Executor needs the package cloudpickle: run `pip install cloudpickle`"
        raise MissingPackage(why) from None


def _own_package(function: object) -> ModuleType | None:
    """Return the package of a function, or None for installed ones and for the main program."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__module__", None) or "__main__"
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if name == "__main__" or not file:
        return None
    path = Path(file).resolve()
    if any(path.is_relative_to(one) for one in _installed()):
        return None
    return sys.modules.get(name.partition(".")[0], module)


@functools.cache
def _installed() -> frozenset[Path]:
    paths = sysconfig.get_paths()
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    found = [paths[name] for name in names] + site.getsitepackages() + [site.getusersitepackages()]
    return frozenset(Path(one).resolve() for one in found)


def write_runner(folder: Path) -> Path:
    """Write the archive that runs calls: the worker, and cloudpickle with its compiled code."""
    home = Path(_cloudpickle().__file__).parent
    version = (sys.version_info.major, sys.version_info.minor)
    runner = folder / "calls.pyz"
    sources = {f"cloudpickle/{file.name}": file for file in sorted(home.glob("*.py"))}
    sources["call_worker.py"] = Path(call_worker.__file__)
    with zipfile.ZipFile(runner, "w") as archive:  # not compressed: it starts faster
        main = _MAIN.format(version=version, dotted=".".join(map(str, version)))
        archive.writestr(_member("__main__.py"), main)
        for name, file in sources.items():
            compiled = folder / "compiled"
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(str(file), str(compiled), name, True, invalidation_mode=mode)
            archive.writestr(_member(f"{name}c"), compiled.read_bytes())
            archive.writestr(_member(name), file.read_bytes())
            compiled.unlink()
    return runner


def _member(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name)  # without the time, so that the hash is stable


@dataclass
class Pack:
    """Calls of several jobs in one file; a large function is a second file."""

    function: bytes = b""
    calls: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    size: int = 0

    def content(self) -> bytes:
        """Return the content of the file of calls."""
        known: dict[bytes, bytes] = {}  # equal functions are stored once
        return pickle.dumps([(known.setdefault(f, f), calls) for f, calls in self.calls], PROTOCOL)


def packs_of(jobs: Sequence[tuple[bytes, bytes]]) -> list[Pack]:
    """Return the calls of jobs, in order: pairs of a pickled function and pickled calls."""
    packs = list[Pack]()
    for function, calls in jobs:
        large = function if len(function) > _PACK_BYTES else b""
        size = len(calls) + (0 if large else len(function))
        if not packs or packs[-1].function != large or packs[-1].size + size > _PACK_BYTES:
            packs.append(Pack(large))
        packs[-1].calls.append((b"" if large else function, calls))
        packs[-1].size += size
    return packs


def seconds_in(results: Path) -> float:
    """Return the run time of the calls in a file of results."""
    with results.open("rb") as file:
        found: float = SECONDS.unpack(file.read(SECONDS.size))[0]
        return found


def outcomes_in(results: Path) -> list[tuple[bool, bytes]]:
    """Return the pickled results in a file, with whether they are values."""
    with results.open("rb") as file:
        file.seek(SECONDS.size)
        found: list[tuple[bool, bytes]] = pickle.load(file)
        return found


def value_of(outcome: tuple[bool, bytes]) -> Any:
    """Return the value of a call, or raise its exception, caused by a RemoteTraceback."""
    is_value, content = outcome
    found = pickle.loads(content)
    if is_value:
        return found
    why, text = found
    why.__cause__ = RemoteTraceback(text)
    raise why
