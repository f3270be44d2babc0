"""An emulated API server of Kubernetes, whose Pods are processes of this machine."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.services.kubernetes import Kubernetes
from tests.tidy import tree

from ..rig import Rig, Token


def page_role() -> list[dict[str, Any]]:
    """Return the rules of the Role on the page for site admins: no more than these are needed."""
    page = tree.text("docs/sites/kubernetes.md")
    found = re.search(r"```yaml pilots\.yaml\n(.*?)```", page, re.DOTALL)
    assert found is not None
    role = next(one for one in yaml.safe_load_all(found[1]) if one["kind"] == "Role")
    rules: list[dict[str, Any]] = role["rules"]
    return rules


@asynccontextmanager
async def started(folder: Path) -> AsyncGenerator[Kubernetes]:
    """Yield a cluster where the central has the rights of the Role that the page shows."""
    cluster = Kubernetes(folder / "kubernetes", rules=page_role())
    await asyncio.to_thread(cluster.start)
    try:
        yield cluster
    finally:
        await asyncio.to_thread(cluster.stop)


@asynccontextmanager
async def rig(folder: Path) -> AsyncGenerator[Rig]:
    """Yield an element of kind `kubernetes`."""
    async with started(folder) as cluster:
        yield Rig(
            "kubernetes",
            cluster.options,
            credential=Token(cluster.token),
            no_slot="t-never-made",
            submits="/jobs?fieldValidation=Strict",
            web=cluster.trusting(),
            has_one_stream=True,
        )
