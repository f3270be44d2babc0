"""Pilots that doctor names: live ones that say nothing."""

import httpx
import msgspec

from pilotage.central.operate.doctor.findings import Severity
from pilotage.central.operate.doctor.pilot_checks import judged, pilots
from pilotage.proto.api.pilots import PilotPage, PilotView
from pilotage.proto.pilot_states import PilotState


def a_pilot(name: str, silent_s: float | None) -> PilotView:
    return PilotView(
        id=name,
        community="ctao",
        site="PIC",
        element="local",
        host="n1",
        state=PilotState.RUNNING,
        session=1,
        silent_s=silent_s,
    )


def test_silent_pilots_are_named_the_longest_first() -> None:
    some = [a_pilot(f"p{n}", 100.0 + n) for n in range(7)]
    found = judged([*some, a_pilot("talks", 3.0), a_pilot("new", None)], 80.0)

    assert found.level is Severity.WARNING
    assert found.said.startswith("7 of 9 are silent: p6 for 106 s, p5 for 105 s,")
    assert found.said.endswith("p2 for 102 s and 2 more")
    assert "pilotage pilot kill" in found.do


def test_without_silent_pilots_all_is_well() -> None:
    assert judged([a_pilot("talks", 80.0)], 80.0).level is Severity.OK


def test_all_pages_are_read() -> None:
    pages = {
        "": PilotPage(pilots=[a_pilot("p1", 200.0)], after="p1"),
        "p1": PilotPage(pilots=[a_pilot("p2", 300.0)], after=None),
    }

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.params.get_list("state") == ["Running", "Draining"]
        page = pages[request.url.params["after"]]
        return httpx.Response(200, content=msgspec.json.encode(page))

    with httpx.Client(base_url="http://c", transport=httpx.MockTransport(answer)) as client:
        assert pilots(client, 80.0).said.startswith("2 of 2 are silent: p2 for 300 s, p1")
