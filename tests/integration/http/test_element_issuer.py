"""What sites fetch of the issuer of tokens for elements, and how an operator turns its keys."""

import asyncio
import json
from pathlib import Path

import pytest

from pilotage.central.app.route_assembly import Handouts, face
from pilotage.central.cli.main import run
from pilotage.central.identity.element_issuer import ElementIssuer, IssuerDocuments
from pilotage.central.operate.clocks import SystemClock, SystemRandomness
from pilotage.central.operate.files import RealDisk

from .asgi import Client
from .stubs import build

URL = "https://central.example.org:8470"


def issuer(data: Path) -> ElementIssuer:
    return ElementIssuer(
        data,
        lambda: f"{URL}/",
        disk=RealDisk(),
        clock=SystemClock(),
        randomness=SystemRandomness(),
    )


def client(data: Path) -> Client:
    async def published() -> IssuerDocuments:
        return issuer(data).published()

    return Client(face(build().services, handouts=Handouts(element_issuer=published)))


async def test_keys_are_found_by_the_name_of_the_issuer(tmp_path: Path) -> None:
    central, ours = client(tmp_path), issuer(tmp_path)
    ours.make()
    name = ours.name.removeprefix(URL)
    metadata = (await central.ask("GET", f"{name}/.well-known/openid-configuration")).json()
    keys = await central.ask("GET", metadata["jwks_uri"].removeprefix(URL))
    users = (await central.ask("GET", "/.well-known/jwks.json")).json()

    assert metadata["issuer"] == ours.name == f"{URL}/elements"
    assert keys.json() == ours.published().jwks
    assert [(one["alg"], "d" in one) for one in keys.json()["keys"]] == [("ES256", False)]
    assert users["keys"][0]["kid"] != keys.json()["keys"][0]["kid"]


async def test_a_turned_key_is_published_beside_the_old_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[list[str]] = []
    for more in ([], ["--rotate"], []):
        words = ["admin", "element-keys", "--data", str(tmp_path), "--json", *more]
        assert await asyncio.to_thread(run, words) == 0
        said.append([one["kid"] for one in json.loads(capsys.readouterr().out)["keys"]])
    shown = (await client(tmp_path).ask("GET", "/elements/jwks.json")).json()

    assert said[1] == [said[1][0], *said[0]] == said[2]
    assert [one["kid"] for one in shown["keys"]] == said[2]


def test_a_damaged_file_of_keys_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "element-keys.json").write_text("{}")

    assert run(["admin", "element-keys", "--data", str(tmp_path)]) != 0
    assert "element-keys.json is not a valid key file" in capsys.readouterr().err
