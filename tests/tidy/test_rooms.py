"""What the rooms of the central leave to each other, beside the layers of import-linter."""

import ast
import re
from typing import Final

from . import tree

# Methods of the queue that take jobs in and out of it, or count their attempts.
CHANGES: Final = re.compile(
    r"queue\.(add|put|take_out|lift|limit|matched|running|ended|set_priority)\("
)
# `recover` fills the queue at the start.
MAY_CHANGE: Final = {"central/dispatch/follow_up.py", "central/dispatch/recovery.py"}
ENGINES: Final = ("central/http/", "central/store/")  # their queues hold no jobs


def test_routes_call_their_service_and_never_the_store() -> None:
    routes = [name for name in tree.modules("central") if name.endswith("routes.py")]
    found = [
        f"{name}:{node.lineno} {node.module}"
        for name in routes
        for node in ast.walk(tree.tree(name))
        if isinstance(node, ast.ImportFrom)
        and re.search(r"(^|\.)(store|record)", ".".join([node.module or "", _names(node)]))
    ]

    assert len(routes) > 10
    assert not found


def test_one_module_lets_the_queue_follow_what_was_written() -> None:
    found = {name for name in tree.modules("central") if CHANGES.search(tree.text(name))}

    assert {name for name in found if not name.startswith(ENGINES)} == MAY_CHANGE


def _names(node: ast.ImportFrom) -> str:
    return ".".join(alias.name for alias in node.names)
