"""What doctor says of an outside broker: a real one, that lets us in, refuses us, or is gone."""

import secrets
from pathlib import Path

import pytest

from pilotage.central.operate.doctor.examination import broker
from pilotage.central.operate.doctor.findings import Severity
from pilotage.central.operate.servers.mosquitto import Mosquitto, missing
from pilotage.central.settings import BusSettings, Settings

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"needs {missing()}")


def settings(place: Path, url: str, user: str, password: str) -> Settings:
    (place / "password").write_text(password)
    return Settings(bus=BusSettings(broker=url, user=user, password_file=str(place / "password")))


def test_a_broker_is_logged_in_at_as_the_central_does(tmp_path: Path) -> None:
    password = secrets.token_urlsafe(16)
    mosquitto = Mosquitto(tmp_path, password)
    mosquitto.start()
    url, user = f"mqtt://127.0.0.1:{mosquitto.port}", mosquitto.user
    try:
        in_ = broker(settings(tmp_path, url, user, password), None)
        refused = broker(settings(tmp_path, url, user, "not this one"), None)
    finally:
        mosquitto.stop()
    gone = broker(settings(tmp_path, url, user, password), None)

    assert in_.level is Severity.OK
    assert refused.level is gone.level is Severity.FAULT
    assert refused.said != gone.said
    for one in (in_, refused, gone):
        assert password not in one.said + one.do
        assert "not this one" not in one.said + one.do
