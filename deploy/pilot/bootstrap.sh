#!/bin/sh
# pilot.sh: starts a pilot of pilotage on a worker node. It is the whole payload of a batch job.
#
#     sh pilot.sh [run] --secret-file FILE [options of the pilot]
#     sh pilot.sh detect
#
# It finds a Python 3.9 or newer, which gets the bundle pilot.pyz from the central or from a path
# (--bundle, PILOTAGE_BUNDLE). It verifies the signature with the key below before it runs anything of
# the bundle. Then it becomes the pilot, which removes its copy of the bundle at its end.
#
# PILOTAGE_PYTHON   a Python to use if none on PATH is new enough
# PILOTAGE_BUNDLE   path of a bundle, such as on CVMFS, with its signature beside it in PATH.sig
#
# 2   wrong options
# 20  no Python 3.9 or newer
# 21  the bundle cannot be fetched
# 22  the bundle is not signed with the key below; nothing of it was run
# 23  the bundle is older than the version below; nothing of it was run
# 24  the bundle cannot be written or started here
# all other codes are those of the pilot

# Filled in by the central that serves this file. Nothing in the environment changes them.
central=''
key=''
least=''

pilot_of_python='@PROGRAM@'

# Some batch systems start jobs without PATH: the shell then finds programs, but its children do not.
PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}
export PATH

fit='import sys
if sys.version_info < (3, 9):
    sys.exit("it is Python %d.%d" % sys.version_info[:2])
import asyncio, hashlib, http.client, ssl, zipfile'

tried=
for python in python3 python3.9 python3.10 python3.11 python3.12 python3.13 python3.14 \
    "${PILOTAGE_PYTHON:-}"; do
    [ -n "$python" ] || continue
    # A name on PATH may be a shim that runs nothing, so run it.
    if why=$("$python" -I -S -c "$fit" 2>&1 </dev/null); then
        exec "$python" -I -S -c "$pilot_of_python" "$central" "$key" "$least" "$@"
    fi
    tried="$tried
pilot.sh:   $python: ${why##*
}"
done
echo "pilot.sh: no Python 3.9 or newer with its whole library; set PILOTAGE_PYTHON to one:$tried" >&2
exit 20
