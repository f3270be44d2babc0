"""What a central takes from its files when it starts, and when it reads them again."""

from pathlib import Path

import pytest

from pilotage.central.operate import serve
from pilotage.central.settings import Settings

FILE = "matcher:\n  running: [{where: PIC, by: type, value: User, most: 2}]\n"


def nothing(event: str, **fields: object) -> None:
    """Log nothing."""


async def test_the_file_of_a_data_directory_that_has_gone_leaves_its_limits_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PILOTAGE_CONFIG", raising=False)
    file, place = tmp_path / serve.CONFIG_NAME, serve.ServeOptions(tmp_path)
    policy = serve.policy_of(place, Settings(), nothing)
    assert await policy.read_again("SIGHUP") == ""
    file.write_text(FILE)
    assert await policy.read_again("SIGHUP") == ""
    limits = policy.settings.running
    file.unlink()
    why = await policy.read_again("SIGHUP")
    restarted = serve.policy_of(place, Settings(), nothing)
    file.write_text(FILE)
    again = await policy.read_again("SIGHUP")

    assert len(limits) == 1 and policy.settings.running == limits
    assert why.startswith(f"{file}: cannot be read") and again == ""
    assert await restarted.read_again("SIGHUP") == ""


async def test_the_sites_that_require_isolation_are_known_before_the_factory_looks(
    tmp_path: Path,
) -> None:
    element = "elements: {one: {kind: local}}\n"
    (tmp_path / "PIC.yaml").write_text(f"isolation: namespaces\n{element}")
    (tmp_path / "CSCS.yaml").write_text(element)

    assert await serve.isolating_in(tmp_path) == {"PIC"}
    assert await serve.isolating_in(tmp_path / "none") == frozenset()
