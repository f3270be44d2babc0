"""What the API is called where it listens, and whom that lets read."""

import msgspec
import pytest

from pilotage.central.cli.tokens import for_others
from pilotage.central.operate.api_address import readable_by_others, url_of
from pilotage.central.settings import HttpSettings

OWN = {"tls_certificate": "c.pem", "tls_key": "k.pem"}
PROXY = {"url": "https://central.example.org"}

#     host, other settings, its URL, readable by others
TABLE: list[tuple[str, dict[str, str], str, bool]] = [
    ("127.0.0.1", {}, "http://127.0.0.1:8470", False),
    ("localhost", {}, "http://localhost:8470", False),
    ("::1", {}, "http://[::1]:8470", False),
    ("0.0.0.0", {}, "http://0.0.0.0:8470", True),
    ("::", {}, "http://[::]:8470", True),
    ("0.0.0.0", OWN, "https://0.0.0.0:8470", False),
    ("0.0.0.0", PROXY, "https://central.example.org", False),
    ("192.0.2.1", {}, "http://192.0.2.1:8470", True),
]


@pytest.mark.parametrize(("host", "more", "url", "readable"), TABLE)
def test_plain_http_beyond_the_machine_is_known_as_that(
    host: str, more: dict[str, str], url: str, readable: bool
) -> None:
    http = msgspec.convert({"host": host} | more, HttpSettings)

    assert url_of(http, 8470) == url
    assert readable_by_others(http) is readable


def test_what_a_colleague_gets_names_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "node7")

    assert for_others("http://0.0.0.0:8470") == "http://node7:8470"
    assert for_others("https://[::]:8470") == "https://node7:8470"
    assert for_others("http://127.0.0.1:8470") == "http://127.0.0.1:8470"
