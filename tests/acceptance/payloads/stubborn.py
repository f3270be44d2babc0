"""A payload that does not want to end: stubborn.py BEACONS leave|stay.

It ignores every signal that can be ignored and leaves a daemon behind that does the same: forked
twice, in a session of its own, writing to BEACONS for as long as it lives. Then it ends, or stays.
"""

import os
import signal
import sys
import time
from pathlib import Path

beacons, mode = Path(sys.argv[1]), sys.argv[2]
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    os.chdir("/")
    for handle in (0, 1, 2):
        os.close(handle)
    while True:
        with beacons.open("a") as file:
            file.write(".")
        time.sleep(0.02)
while not beacons.exists():
    time.sleep(0.02)
while mode == "stay":
    time.sleep(1.0)
