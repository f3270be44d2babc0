"""The requests that the central sends, to a real Rucio server."""

from functools import partial
from pathlib import Path

import pytest

from pilotage.central.catalogue.storages import StorageCredential
from pilotage.central.factory.credentials.sources import source
from pilotage.central.operate.clocks import SystemClock
from pilotage.central.operate.rucio_servers.rucio_http import RucioHttp
from pilotage.central.rucio.files import RucioEntry
from pilotage.central.rucio.http import RucioAway, RucioRefused
from tests.services.rucio import RucioServer


def entry(rucio: RucioServer, token_file: Path) -> RucioEntry:
    credential = StorageCredential(source="file", options={"path": str(token_file)})
    return RucioEntry(url=rucio.url, account="root", community="ctao", credential=credential)


async def test_a_real_server_is_asked_and_says_why_it_refuses(
    rucio: RucioServer, tmp_path: Path
) -> None:
    rucio.add_scope("asked")
    rucio.add_rse("ASKED", tmp_path)
    file = {"scope": "asked", "name": "/f", "bytes": 3, "adler32": "0123abcd"}
    rucio.add_files("ASKED", [{**file, "pfn": f"file://localhost:0{tmp_path}/f"}])
    http = RucioHttp(partial(source, clock=SystemClock()))
    api = http.connect("real", entry(rucio, rucio.token_file))

    rse = await api.get("/rses/ASKED")
    (found,) = await api.lines("/replicas/list", {"dids": [{"scope": "asked", "name": "/f"}]})
    await api.post("/dids/asked/ds", {"type": "DATASET"})

    assert rse["availability_read"] is True
    assert found["rses"] == {"ASKED": [f"file://localhost{tmp_path}/f"]}
    with pytest.raises(RucioRefused, match="Data identifier 'asked:nix' not found") as why:
        await api.get("/dids/asked/nix")
    assert why.value.kind == "DataIdentifierNotFound"
    with pytest.raises(RucioRefused) as twice:
        await api.post("/dids/asked/ds", {"type": "DATASET"})
    assert twice.value.kind == "DataIdentifierAlreadyExists"
    rubbish = tmp_path / "token"
    rubbish.write_text("rubbish")
    with pytest.raises(RucioAway, match="status 401"):
        await http.connect("real", entry(rucio, rubbish)).get("/rses/ASKED")
    await http.close()
