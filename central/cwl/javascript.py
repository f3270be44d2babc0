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


class QuickJs(NodeJSEngine):
    """Evaluates each expression in a context of its own.

    Only the parsing of parameter references is taken from the parent: no process is started.
    """

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
        try:
            found = context.eval(
                f"JSON.stringify((function(){{ return eval({json.dumps(code)}) }})())"
            )
        except _quickjs.JSException as why:
            raise JavascriptException(f"{why}\nin the expression {scan}") from why
        return cast(CWLOutputType, None if found is None else json.loads(found))
