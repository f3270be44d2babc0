"""Which container tools the node has."""

import os
from collections.abc import Mapping
from pathlib import Path

TOOLS = ("apptainer", "podman")


def containers(root: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the tools that PATH leads to."""
    folders = [folder for folder in environ.get("PATH", os.defpath).split(":") if folder]
    return tuple(tool for tool in TOOLS if any(_is_tool(root, folder, tool) for folder in folders))


def _is_tool(root: Path, folder: str, tool: str) -> bool:
    path = root / folder.lstrip("/") / tool
    return path.is_file() and os.access(path, os.X_OK)
