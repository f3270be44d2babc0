"""The pilot's file over HTTP: with its signature, its version, and its hash as a tag."""

import asyncio
import base64
import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pilotage.central.app.route_assembly import Handouts, face
from pilotage.central.cli.main import run
from pilotage.central.identity import signature
from pilotage.central.operate.distribution.handout import Handout
from pilotage.central.operate.distribution.pilot_bundle import pilot_bundle
from pilotage.central.operate.files import RealDisk

from .asgi import Client
from .stubs import build

URL = "https://central.example.org:8470"


def client(bundle: Path, data: Path) -> Client:
    handout = Handout(bundle, signature.load(data, disk=RealDisk()), lambda: URL)

    async def files() -> signature.PilotFiles | None:
        return handout.files()

    return Client(face(build().services, handouts=Handouts(pilot_files=files)))


async def test_the_file_comes_with_all_that_proves_it(tmp_path: Path) -> None:
    central = client(pilot_bundle(), tmp_path)
    file = await central.ask("GET", "/pilot.pyz")
    beside = await central.ask("GET", "/pilot.pyz.sig")
    told = (await central.ask("GET", "/pilot.json")).json()

    sha256 = hashlib.sha256(pilot_bundle().read_bytes()).hexdigest()
    assert hashlib.sha256(file.body).hexdigest() == told["sha256"] == sha256
    assert file.headers["etag"] == f'"{sha256}"'
    assert int(file.headers["content-length"]) == told["size"] == len(file.body)
    assert file.headers["pilotage-version"] == told["version"]
    assert file.headers["pilotage-signature"] == told["signature"]
    assert base64.b64decode(told["signature"]) == beside.body
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(told["key"]))
    key.verify(beside.body, file.body)


async def test_who_has_it_already_gets_no_bytes(tmp_path: Path) -> None:
    central = client(pilot_bundle(), tmp_path)
    tag = (await central.ask("GET", "/pilot.pyz")).headers["etag"]
    same = await central.ask("GET", "/pilot.pyz", headers={"if-none-match": f'"x", {tag}'})
    other = await central.ask("GET", "/pilot.pyz", headers={"if-none-match": '"x"'})

    assert (same.status, same.body, same.headers["etag"]) == (304, b"", tag)
    assert "content-length" not in same.headers
    assert (other.status, len(other.body) > 100_000) == (200, True)


async def test_the_script_knows_address_key_and_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    central = client(pilot_bundle(), tmp_path)
    script = (await central.ask("GET", "/pilot.sh")).body.decode()
    version = (await central.ask("GET", "/pilot.json")).json()["version"]
    code = await asyncio.to_thread(run, ["admin", "pilot-key", "--data", str(tmp_path)])
    key = capsys.readouterr().out.strip()

    assert (code, len(key)) == (0, 64)
    for line in (f"central={URL}", f"key={key}", f"least={version}"):
        assert script.count(f"\n{line}\n") == 1


@pytest.mark.parametrize(
    "url", ["https://[::1]:8470", "https://x/$(touch it)", "https://x/it's", "https://x/a\nb"]
)
def test_no_address_breaks_out_of_its_quotes(url: str, tmp_path: Path) -> None:
    signer = signature.load(tmp_path, disk=RealDisk())
    script = Handout(pilot_bundle(), signer, lambda: url).files().script

    head = script.decode().partition("pilot_of_python=")[0]
    said = subprocess.run(
        ["sh", "-c", head + 'printf %s "$central"'], cwd=tmp_path, capture_output=True, text=True
    )
    assert said.stdout == url
    assert not (tmp_path / "it").exists()


async def test_a_bundle_that_changes_is_signed_anew(tmp_path: Path) -> None:
    bundle = tmp_path / "pilot.pyz"
    original = pilot_bundle()
    bundle.write_bytes(original.read_bytes())
    (tmp_path / "pilot.sh").write_bytes(original.with_name("pilot.sh").read_bytes())
    central = client(bundle, tmp_path)
    first = await central.ask("GET", "/pilot.json")
    fresh = tmp_path / "fresh"
    fresh.write_bytes(b"#!/usr/bin/python3\n" + original.read_bytes())
    fresh.replace(bundle)
    second = await central.ask("GET", "/pilot.json")

    assert first.json()["signature"] != second.json()["signature"]
    assert first.json()["key"] == second.json()["key"]


def test_a_data_directory_without_a_key_says_who_makes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["admin", "pilot-key", "--data", str(tmp_path)])

    assert code == 3 and "pilotage serve" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
