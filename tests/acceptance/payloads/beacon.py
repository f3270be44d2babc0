"""A payload that writes down when it runs: beacon.py FILE SECONDS [SECONDS_OF_LATER_ATTEMPTS].

Each line is `job epoch word monotonic`, appended with one write. It says `runs` every 20 ms, so
that the time of a killed or frozen attempt is known as well; on one host the monotonic clock is the
same for all.
"""

import os
import sys
import time

EVERY_S = 0.02


def main(file: str, first_s: float, later_s: float) -> None:
    job, epoch = os.environ["PILOTAGE_JOB"], os.environ["PILOTAGE_EPOCH"]
    lasts_s = first_s if epoch == "1" else later_s
    target = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def say(word: str) -> None:
        os.write(target, f"{job} {epoch} {word} {time.monotonic()}\n".encode())

    say("starts")
    ends = time.monotonic() + lasts_s
    while time.monotonic() < ends:
        time.sleep(EVERY_S)
        say("runs")
    print(f"job {job}, attempt {epoch}")
    say("ends")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[-1]))
