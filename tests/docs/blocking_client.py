"""Writes `central/client/blocking.py`, the blocking front, from the async core.

    make docs                                               write it
    .venv/bin/python -m tests.docs.blocking_client --check  only say whether it is current

Each public method is carried over with its signature and docstring: a coroutine is run to its end,
an async iterator becomes a generator, and async handles are wrapped into blocking ones.
"""

import ast
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parents[2] / "central" / "client"
TARGET = HERE / "blocking.py"

# The async class, its blocking twin, the module that has it; `operators` and others are its parts.
CLASSES = (
    ("AsyncJobHandle", "JobHandle", "handles"),
    ("AsyncSubmissionHandle", "SubmissionHandle", "handles"),
    ("AsyncJobGraph", "JobGraph", "graphs"),
    ("AsyncClient", "Client", "client"),
)
MODULES = (
    *("handles", "graphs", "client", "outputs", "operators", "identity", "data", "data_files"),
    *("accounting", "transformations", "productions", "jdl", "notifications"),
)
_PARTS = {  # what the class inherits
    "Client": (
        ("OutputCalls", "outputs"),
        ("AccountingCalls", "accounting"),
        ("OperatorCalls", "operators"),
        ("IdentityCalls", "identity"),
        ("DataCalls", "data"),
        ("DataFileCalls", "data_files"),
        ("TransformationCalls", "transformations"),
        ("ProductionCalls", "productions"),
        ("JdlCalls", "jdl"),
        ("NotificationCalls", "notifications"),
    )
}
_TWINS = {old: new for old, new, _ in CLASSES}
_CARRIED = {"__repr__", "__await__", "_repr_html_"}  # of the private names
# What only the async core needs of itself.
_LEFT_OUT = {"signs", "ended", "wait_for"}

_HEAD = '"""The blocking front. `tests/docs/blocking_client.py` writes it: do not edit it."""\n'
_BETWEEN = '''

def as_completed(
    handles: Iterable[JobHandle], timeout_s: float | None = None
) -> Iterator[JobHandle]:
    """Yield each handle once its job has ended. All handles belong to one client.

    Each job comes once, even if it is given twice. Raises TimedOut after `timeout_s` seconds, and
    JobsHeld if all remaining jobs are Held.
    """
    by_id = {handle.id: handle for handle in handles}
    if not by_id:
        return
    some = next(iter(by_id.values()))
    cores = [handle.core for handle in by_id.values()]
    for core in some.loop.iterate(as_completed_async(cores, timeout_s)):
        yield by_id[core.id]
'''


def generate() -> str:
    """Return the text of `blocking.py`, formatted."""
    trees = {name: ast.parse((HERE / f"{name}.py").read_text()) for name in MODULES}
    classes = [
        _twin(_find(trees[module], old), old, new, _PARTS.get(new, ()), trees)
        for old, new, module in CLASSES
    ]
    body = _BETWEEN.join(["\n\n".join(classes[:-1]), "\n\n" + classes[-1]])
    text = "\n".join([_HEAD, _imports(trees, body), "\n", body, ""])
    return _formatted(text)


def _twin(
    node: ast.ClassDef,
    old: str,
    new: str,
    parts: Iterable[tuple[str, str]],
    trees: dict[str, ast.Module],
) -> str:
    """Return the source of the blocking class."""
    lines = [f"class {new}:", _docstring(node, 4)]
    if new == "Client":
        lines.append(_client_start(node))
    else:
        lines.append(_handle_start(old))
    inherited = (one for part, module in parts for one in _find(trees[module], part).body)
    for item in (*node.body, *inherited):
        if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
            name = item.name
            if (not name.startswith("_") or name in _CARRIED) and name not in _LEFT_OUT:
                lines.append(_method(item, new))
    return "\n".join(lines)


def _client_start(node: ast.ClassDef) -> str:
    start = _find_method(node, "__init__")
    return f"""
    def __init__({ast.unparse(start.args)}) -> None:
        self.loop = LoopThread()
        self.core = AsyncClient({_passed(start.args)})

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
"""


def _handle_start(old: str) -> str:
    properties = (
        '''
    @property
    def id(self) -> int:
        """Number of the job."""
        return self.core.id
'''
        if old == "AsyncJobHandle"
        else ""
    )
    return f"""
    def __init__(self, core: {old}, loop: LoopThread) -> None:
        self.core, self.loop = core, loop
{properties}"""


def _method(item: ast.FunctionDef | ast.AsyncFunctionDef, owner: str) -> str:
    returns = ast.unparse(item.returns).strip("'") if item.returns else "None"
    is_property = any(isinstance(d, ast.Name) and d.id == "property" for d in item.decorator_list)
    arguments = ast.unparse(item.args)
    call = f"self.core.{item.name}" + ("" if is_property else f"({_passed(item.args)})")
    result = _blocking_type(returns)
    if item.name == "close":
        lines = ["self.loop.run(self.core.close())", "self.loop.close()"]
    elif returns.startswith("AsyncIterator["):
        lines = [f"return self.loop.iterate({call})"]
    else:
        if isinstance(item, ast.AsyncFunctionDef):
            call = f"self.loop.run({call})"
        lines = [f"return {_wrapped(call, returns)}"] if returns != "None" else [call]
    head = "    @property\n" if is_property else ""
    if item.name == "__repr__":
        lines = ["return repr(self.core)"]
    if item.name == "_repr_html_":
        lines = ["return self.html()"]
    if item.name == "__await__":
        lines = ["return asyncio.wrap_future(self.loop.start(self.core.wait())).__await__()"]
    indented = "\n".join(f"        {line}" for line in lines)
    return (
        f"\n{head}    def {item.name}({arguments}) -> {result}:\n{_docstring(item, 8)}{indented}\n"
    )


def _wrapped(call: str, returns: str) -> str:
    for old, new in _TWINS.items():
        if returns == old:
            return f"{new}({call}, self.loop)"
        if returns == f"list[{old}]":
            return f"[{new}(core, self.loop) for core in {call}]"
    return call


def _blocking_type(returns: str) -> str:
    for old, new in _TWINS.items():
        returns = returns.replace(old, new)
    return returns.replace("AsyncIterator[", "Iterator[")


def _passed(arguments: ast.arguments) -> str:
    """Return the arguments of a call that hands all parameters on."""
    names = [one.arg for one in arguments.args if one.arg != "self"]
    return ", ".join([*names, *(f"{one.arg}={one.arg}" for one in arguments.kwonlyargs)])


def _docstring(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, indent: int) -> str:
    text = ast.get_docstring(node, clean=False)
    return f'{" " * indent}"""{text}"""\n' if text else ""


def _imports(trees: dict[str, ast.Module], body: str) -> str:
    """Return the imports of the async modules that the blocking text uses."""
    used = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    used |= {
        name.id
        for node in ast.walk(ast.parse(body))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for name in _names_in(node.value)
    }
    lines = {
        "from .client import AsyncClient",
        "from .graphs import AsyncJobGraph, GraphJob",
        "from .handles import AsyncJobHandle, AsyncSubmissionHandle, as_completed_async",
        "from .loop_thread import LoopThread",
        "import asyncio",
        "from collections.abc import Generator, Iterable, Iterator, Mapping",
        "from typing import TYPE_CHECKING, Any, Literal",
        "if TYPE_CHECKING:\n    import httpx",
    }
    for tree in trees.values():
        for node in tree.body:
            if not isinstance(node, ast.ImportFrom) or node.module in ("collections.abc", "typing"):
                continue
            for alias in node.names:
                if alias.name in used and alias.name not in _TWINS:
                    lines.add(f"from {'.' * node.level}{node.module} import {alias.name}")
    # The block under `if` comes last; ruff sorts the rest.
    return "\n".join(sorted(lines, key=lambda line: (line.startswith("if"), line)))


def _names_in(text: str) -> list[ast.Name]:
    """Return the names of an annotation that is written as a string."""
    try:
        return [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
    except SyntaxError:
        return []  # a docstring


def _find(tree: ast.Module, name: str) -> ast.ClassDef:
    return next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)


def _find_method(node: ast.ClassDef, name: str) -> ast.FunctionDef:
    return next(n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == name)


def _formatted(text: str) -> str:
    for arguments in (["check", "--select", "I,F401", "--fix", "--quiet"], ["format"]):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(TARGET), "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
    return text


def main(options: Sequence[str]) -> str | None:
    """Write the blocking front if it differs. Return why the process fails, or None."""
    if find_spec("ruff") is None:
        return f"{sys.executable} has no ruff: run `make dev`, then `make docs`"
    current = generate()
    if current == TARGET.read_text():
        return None
    name = TARGET.relative_to(TARGET.parents[2])
    if "--check" in options:
        return f"{name} is old: make docs"
    TARGET.write_text(current)
    print(name)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
