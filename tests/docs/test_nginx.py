"""The example of a balancer is one to nginx, TLS included; tests of several processes run it."""

import subprocess
from pathlib import Path

import pytest

from tests import certificates
from tests.services import balancer


def test_nginx_finds_nothing_wrong(tmp_path: Path) -> None:
    if balancer.PROGRAM is None:
        pytest.skip("nginx (apt: nginx-light)")
    pem = str(certificates.self_signed(tmp_path))
    text = balancer.EXAMPLE.read_text()
    for old, new in (
        ("/etc/nginx/pilotage.pem", pem),
        ("/etc/nginx/pilotage.key", pem),
        ("central1.example.org:", "127.0.0.1:"),  # a name that is not known is refused
        ("central2.example.org:", "127.0.0.1:"),
    ):
        assert old in text
        text = text.replace(old, new)
    configuration = balancer.around(tmp_path / "nginx", text)

    checked = subprocess.run(
        [balancer.PROGRAM, "-t", "-e", str(tmp_path / "error.log"), "-c", str(configuration)],
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr
