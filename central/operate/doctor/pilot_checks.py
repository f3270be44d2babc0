"""Checks of the pilots that a running central knows."""

from collections.abc import Sequence
from typing import Final

import httpx
import msgspec

from pilotage.proto.api.pilots import PilotPage, PilotView
from pilotage.proto.pilot_states import LIVING

from .findings import Finding, ok, warning

CHECK: Final = "pilots"
PAGES_MAX: Final = 10  # of 1,000 pilots; further ones are not looked at
SHOWN_MAX: Final = 5
DO: Final = (
    "each counts for its element until this reports its end: see `pilotage pilot show PILOT`; if it"
    " is gone, `pilotage pilot kill PILOT`"
)


def pilots(client: httpx.Client, late_s: float) -> Finding:
    """Name live pilots that have been silent for more than `late_s` seconds.

    `client` has the token of an operator. Raises httpx.HTTPError and msgspec.DecodeError.
    """
    return judged(_living(client), late_s)


def judged(found: Sequence[PilotView], late_s: float) -> Finding:
    """Return the finding about these live pilots."""
    silent = sorted(
        ((one.silent_s, one.id) for one in found if one.silent_s and one.silent_s > late_s),
        reverse=True,
    )
    if not silent:
        return ok(CHECK, "none is silent")
    named = ", ".join(f"{pilot} for {silent_s:.0f} s" for silent_s, pilot in silent[:SHOWN_MAX])
    more = f" and {len(silent) - SHOWN_MAX} more" if len(silent) > SHOWN_MAX else ""
    return warning(CHECK, f"{len(silent)} of {len(found)} are silent: {named}{more}", DO)


def _living(client: httpx.Client) -> list[PilotView]:
    found: list[PilotView] = []
    after: str | None = ""
    for _ in range(PAGES_MAX):
        states = [("state", state.value) for state in LIVING]
        answer = client.get("/v1/pilots", params=[*states, ("after", after), ("limit", "1000")])
        answer.raise_for_status()
        page = msgspec.json.decode(answer.content, type=PilotPage)
        found += page.pilots
        after = page.after
        if after is None:
            break
    return found
