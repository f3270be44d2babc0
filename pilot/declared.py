"""A node that is said to be another one: for demonstrations on a single machine."""

from dataclasses import replace

from pilotage.proto.messages import Node

from .ports import NodeProbe


class DeclaredNode:
    """The node as it was found, but for what is declared. Empty words declare nothing."""

    def __init__(self, found: NodeProbe, *, os: str = "", architecture: str = "") -> None:
        self._found, self._os, self._architecture = found, os, architecture

    def node(self) -> Node:
        node = self._found.node()
        architecture = self._architecture or node.architecture
        level = node.architecture_level if architecture == node.architecture else 1
        return replace(
            node, os=self._os or node.os, architecture=architecture, architecture_level=level
        )

    def boot_id(self) -> str:
        return self._found.boot_id()

    def pid_namespace(self) -> str:
        return self._found.pid_namespace()

    def cores(self) -> int:
        return self._found.cores()

    def memory_mb(self) -> int:
        return self._found.memory_mb()

    def scratch_free_mb(self) -> int:
        return self._found.scratch_free_mb()

    def wall_left_s(self) -> float:
        return self._found.wall_left_s()

    def tags(self) -> tuple[str, ...]:
        return self._found.tags()
