"""The page of Kubernetes happens as it is told, with an emulated API server."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.contract.element.rigs.kubernetes import page_role
from tests.services.kubernetes import Kubernetes

from .test_site_pages import walk_through


@pytest.fixture
def cluster(tmp_path: Path) -> Generator[Kubernetes]:
    found = Kubernetes(tmp_path / "kubernetes", rules=page_role())
    found.start()
    try:
        yield found
    finally:
        found.stop()


def test_a_kubernetes_cluster(tmp_path: Path, cluster: Kubernetes) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(cluster.token)
    reader = tmp_path / "reader"
    reader.mkdir()
    places = {
        "https://k8s.example.org:6443": cluster.options["url"],
        "/etc/pilotage/k8s/ca.pem": str(cluster.ca_file),
        "/etc/pilotage/k8s/token": str(token),
    }

    with walk_through("docs/sites/kubernetes.md", reader, places):
        assert {"POST jobs", "POST secrets", "PATCH jobs"} <= set(cluster.asked)
