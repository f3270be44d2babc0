"""The shell script that a batch system runs to start a pilot: all in one file. Pure.

It carries `pilot.sh`, which gets and verifies the pilot, and the pilot's one-use secret, which goes
to the pilot by standard input: it is on no command line, in no environment and in no file beside
the script itself.
"""

import shlex
from collections.abc import Mapping

Option = str | float | tuple[str, ...]
END = "PILOTAGE_END_OF_PART"
_SCRIPT = """\
#!/bin/sh
# Pilot {stamp}
umask 077
# All pilots of this user lie below one folder, which payloads do not see.
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
# What ends the batch job ends the pilot softly; a wait that a signal ends is begun again.
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
    """Return the script of one pilot. `options` are the pilot's own; empty ones are left out."""
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
