"""The pages of sites that trust the central's tokens happen as they are told, on the real things.

The services are set up by what the pages tell their administrators to write.
"""

from pathlib import Path

import pytest

from tests.services.arc import Arc
from tests.services.folders import open_folder
from tests.services.htcondor import Htcondor
from tests.services.issuer import Issuer

from .test_site_pages import walk_through

ISSUER, CA = "https://central.example.org:8470/elements", "/etc/grid-security/ca.pem"


def data(home: Path) -> Path:
    """Return the data directory of a reader, who has it already."""
    found = home / ".local" / "share" / "pilotage"
    found.mkdir(mode=0o700, parents=True)
    return found


def test_an_htcondor_that_trusts_the_central(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    issuer = Issuer(tmp_path_factory.mktemp("issuer"), data(tmp_path))
    issuer.start()
    with open_folder("htcondor") as public:
        pool = Htcondor(public, cpus=4, issuer=issuer)
        places = {
            CA: str(issuer.authority / "ca.pem"),
            ISSUER: issuer.signer.name,
            "ce.example.org:9619": pool.audience,
            "schedd: ce.example.org": "schedd: ce@localhost",
            "/etc/condor/condor_config": str(public / "client_config"),
        }
        try:
            pool.start()
            assert pool.client_config.exists()
            with walk_through("docs/sites/htcondor.md", tmp_path, places):
                assert "/elements/jwks.json" in issuer.asked
        finally:
            pool.stop()
            issuer.stop()


def test_an_arc_that_trusts_the_central(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    issuer = Issuer(tmp_path_factory.mktemp("issuer"), data(tmp_path))
    issuer.start()
    with open_folder("arc") as public:
        arc = Arc(public, issuer.signer, issuer.authority / "trusted")
        places = {
            ISSUER: issuer.signer.name,
            CA: str(public / "ca" / "ca.pem"),
            "https://arc.example.org:443/arex": str(arc.options["url"]),
        }
        try:
            arc.start()
            with walk_through("docs/sites/arc.md", tmp_path, places):
                assert "/elements/jwks.json" in issuer.asked
        finally:
            arc.stop()
            issuer.stop()
