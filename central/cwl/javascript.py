"""Evaluates the expressions of CWL documents with QuickJS: no files, no network, little memory."""

import json
from typing import Any, Final, cast

import quickjs  # pyright: ignore[reportMissingTypeStubs]
from cwl_utils.errors import JavascriptException
from cwl_utils.sandboxjs import NodeJSEngine, code_fragment_to_js, default_timeout
from cwl_utils.types import CWLOutputType

_quickjs: Any = quickjs  # has no types
MEMORY_BYTES: Final = 128 << 20
STACK_BYTES: Final = 1 << 20
CPU_S: Final = 20.0  # of one expression
# A run that is made again must want the same jobs: the clock begins at a given time and advances by
# a millisecond for each look, and random numbers repeat.
_SAME: Final = """
(function (now, seed) {
  Math.random = function () {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 4294967296;
  };
  Date = new Proxy(Date, {
    construct: (type, given) => given.length ? new type(...given) : new type(now++),
    apply: (type) => new type(now++).toString(),
    get: (type, name) => name === "now" ? () => now++ : type[name],
  });
})(%d, %d);
"""


class QuickJs(NodeJSEngine):
    """Evaluates each expression in a context of its own.

    Only the parsing of parameter references is taken from the parent: no process is started.
    """

    at: float | None = None  # the time that expressions see, in seconds since 1970; None: now

    def __init__(self) -> None:
        super().__init__(have_node_slim=True)

    def eval(
        self,
        scan: str,
        jslib: str = "",
        timeout: float = default_timeout,
        force_docker_pull: bool = False,
        debug: bool = False,
        js_console: bool = False,
        container_engine: str = "docker",
        **kwargs: Any,
    ) -> CWLOutputType:
        """Return the value of an expression. Raises JavascriptException if it fails."""
        context = _quickjs.Context()
        context.set_memory_limit(MEMORY_BYTES)
        context.set_max_stack_size(STACK_BYTES)
        context.set_time_limit(min(timeout, CPU_S))
        code = code_fragment_to_js(scan, jslib)
        if self.at is not None and ("Date" in code or "random" in code):
            milliseconds = int(self.at * 1_000)
            context.eval(_SAME % (milliseconds, milliseconds % 2**32))
        try:
            found = context.eval(
                f"JSON.stringify((function(){{ return eval({json.dumps(code)}) }})())"
            )
        except _quickjs.JSException as why:
            said = str(why).partition("\n")[0]  # without its places in the code of the library
            raise JavascriptException(f"{said} in the expression ${scan}") from why
        return cast(CWLOutputType, None if found is None else json.loads(found))
