"""The shell script that starts a pilot in a batch system, in one file. Pure.

It contains `pilot.sh`, which fetches and verifies the pilot, and the pilot's one-use secret. The
pilot gets the secret on standard input: it is on no command line, in no environment and in no file
but the script itself.
"""

import shlex
from collections.abc import Mapping

Option = str | float | tuple[str, ...]
END = "PILOTAGE_END_OF_PART"
_SCRIPT = """\
#!/bin/sh
# Pilot {stamp}
umask 077
# All pilots of this user are below one folder, which payloads do not see.
temporary="${{TMPDIR:-/tmp}}"
parent="$temporary/pilotage-$(id -u)"
mkdir -m 700 "$parent" 2>/dev/null
here=
if [ -d "$parent" ] && [ ! -L "$parent" ] && [ -O "$parent" ]; then
    here=$(mktemp -d "$parent/pilotage-XXXXXXXX" 2>/dev/null)
fi
here=${{here:-$(mktemp -d "$temporary/pilotage-XXXXXXXX")}} || exit 24
cat >"$here/pilot.sh" <<'{end}'
{pilot_sh}
{end}
sh "$here/pilot.sh" run --secret-file - --state-dir "$here/state" {options} <<'{end}' &
{secret}
{end}
pilot=$!
# A signal to the batch job ends the pilot softly; a wait ended by a signal is repeated.
trap 'kill -s TERM "$pilot" 2>/dev/null' TERM INT USR1 XCPU
while
    wait "$pilot"
    code=$?
    kill -s 0 "$pilot" 2>/dev/null
do :; done
rm -rf "$here"
rmdir "$parent" 2>/dev/null
exit "$code"
"""


def start_script(*, stamp: str, secret: str, pilot_sh: str, options: Mapping[str, Option]) -> bytes:
    """Return the script of one pilot. `options`: options of the pilot; empty ones are omitted."""
    assert END not in pilot_sh and "\n" not in secret
    words = [
        f"--{name.replace('_', '-')}" + ("" if value is True else f"={_text(value)}")
        for name, value in options.items()
        if value
    ]
    return _SCRIPT.format(
        stamp=stamp,
        end=END,
        pilot_sh=pilot_sh.rstrip("\n"),
        secret=secret,
        options=shlex.join(words),
    ).encode()


def _text(value: Option) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
