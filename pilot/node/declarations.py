"""The operator's declarations about a pilot: facts of its node, and the jobs that it accepts."""

from dataclasses import asdict, dataclass, replace
from typing import Optional

from pilotage.proto.messages import Node

from ..gpus import NO_GPUS, Gpus
from ..ports import NodeProbe


@dataclass(frozen=True)
class Accepts:
    """The owners, groups and types of jobs that a pilot accepts; empty: all."""

    required_tags: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()


ANYONE = Accepts()


class DeclaredNode:
    """The detected node with declared values in place. Empty texts and 0 declare nothing."""

    def __init__(
        self,
        found: NodeProbe,
        *,
        os: str = "",
        architecture: str = "",
        hs23_per_core: float = 0.0,
        gpus: Gpus = NO_GPUS,
        overcommit: bool = False,
    ) -> None:
        """Take `overcommit`: offer as many GPUs as are declared, even if fewer are found."""
        self._overcommit = overcommit
        self._found, self._os, self._architecture = found, os, architecture
        self._hs23_per_core, self._gpus = hs23_per_core, gpus

    def node(self) -> Node:
        node = self._found.node()
        architecture = self._architecture or node.architecture
        level = node.architecture_level if architecture == node.architecture else 1
        return replace(
            node,
            os=self._os or node.os,
            architecture=architecture,
            architecture_level=level,
            hs23_per_core=self._hs23_per_core or node.hs23_per_core,
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

    def gpus(self) -> Gpus:
        """Return the declared GPUs, completed by the detected ones.

        Detected GPUs bound the number. If none is detected, the declared ones may be of a kind that
        detection does not know.
        """
        found, said = self._found.gpus(), self._gpus
        if not said.count:
            return found
        if found.count and not self._overcommit:
            said = replace(said, count=min(said.count, found.count))
        known = {name: value for name, value in asdict(said).items() if value}
        devices = found.devices[: said.count] if len(found.devices) >= said.count else ()
        return replace(found, **{**known, "devices": devices})

    def wall_left_s(self) -> float:
        return self._found.wall_left_s()

    async def time_left_again(self) -> Optional[float]:
        return await self._found.time_left_again()

    def tags(self) -> tuple[str, ...]:
        return self._found.tags()
