"""The pages of sites happen as they are told, on the real things, with these in their places."""

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.services.folders import open_folder
from tests.services.slurm import Slurm
from tests.services.sshd import Sshd

from ..tidy import tree
from .walkthrough import Walk

OUTPUT, CONFIG = "/shared/pilotage/output", "/etc/slurm/slurm.conf"


@pytest.fixture(scope="module")
def slurm() -> Generator[Slurm]:
    with open_folder("slurm") as folder:
        cluster = Slurm(folder, cpus=4, partition="long")
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sshd]:
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def walk_through(
    page: str,
    folder: Path,
    places: Mapping[str, str],
    environment: Mapping[str, str] | None = None,
) -> Generator[None]:
    """Walk through a page on which some words stand for others; each must stand there."""
    text = tree.text(page)
    for said, meant in places.items():
        assert said in text, f"{page} does not say {said!r}"
        text = text.replace(said, meant)
    copy = folder / Path(page).name
    copy.write_text(text, encoding="utf-8")
    quick = {"PILOTAGE_FACTORY__EVERY_S": "1"}
    with ExitStack() as stack:
        walk = Walk(copy, folder, {**quick, **(environment or {})})
        left: list[str] = []
        stack.callback(lambda: left.extend(walk.close()))
        walk.go()
        yield
        stack.close()
    assert not left, "the page leaves these running"


def test_a_machine_of_its_own(tmp_path: Path) -> None:
    with walk_through("docs/sites/local.md", tmp_path, {}):
        pass


def test_a_slurm_cluster(tmp_path: Path, slurm: Slurm) -> None:
    output = slurm.folder / "output"
    places = {OUTPUT: str(output), CONFIG: str(slurm.config)}
    with walk_through("docs/sites/slurm.md", tmp_path, places, {"SLURM_CONF": str(slurm.config)}):
        assert output.is_dir()


def test_a_machine_behind_ssh(tmp_path: Path, sshd: Sshd, slurm: Slurm) -> None:
    places = {
        "/etc/pilotage": str(tmp_path / "etc"),
        "~/.ssh/authorized_keys": str(sshd.folder / "key.pub"),
        "login.example.org": "127.0.0.1",
        "-p 22 ": f"-p {sshd.port} ",
        "port: 22": f"port: {sshd.port}",
        "pilotage@": f"{sshd.user}@",
        "user: pilotage": f"user: {sshd.user}",
        "folder: pilots": f"folder: {sshd.folder / 'bare'}",
        OUTPUT: str(slurm.folder / "behind-ssh"),
        CONFIG: str(slurm.config),
    }
    with open_folder("walk") as short:  # sockets of SSH lie there, whose paths have 108 bytes
        walk = walk_through("docs/sites/ssh.md", tmp_path, places, {"TMPDIR": str(short)})
        with walk:
            assert (sshd.folder / "bare").is_dir()
