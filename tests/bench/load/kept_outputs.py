"""Jobs that have ended and kept outputs, made by simulated pilots."""

import asyncio
import hashlib
import random
import uuid
from array import array

import msgspec

from pilotage.proto.api.jobs import Submitted

from .asks import Given, Voice
from .fleet import Member, enlist
from .line import Line
from .lives import GIVEN
from .stage import Act
from .wire import head, request

PILOTS = 8
JOBS_MAX = 32
OUTPUT = b'{"name":"fit.dat","sha256":"%b","size_bytes":%d}'


async def keep_outputs(act: Act, jobs: int, size: int) -> int:
    """Submit jobs, and end each with one output of `size` random bytes; return the submission."""
    body = {
        "key": uuid.uuid4().hex,
        "template": {
            "command": ["fit", "{mass}"],
            "outputs": [{"pattern": "fit.dat"}],
            "needs": [{"cores_min": 1, "memory_mb": 500, "wall_s": 3_600}],
        },
        "parameters": [{"mass": number} for number in range(jobs)],
    }
    line = await Line.open(act.url, array("d"), tls=act.tls)
    said = request(head("/v1/submissions", act.token), msgspec.json.encode(body))
    made = msgspec.json.decode(await line.ask(said), type=Submitted)
    await line.close()
    members = await enlist(act.url, act.token, PILOTS, tls=act.tls)
    async with asyncio.TaskGroup() as tasks:
        for seed, member in enumerate(members):
            tasks.create_task(_work(act, member, size, seed))
    return made.submission


async def _work(act: Act, member: Member, size: int, seed: int) -> None:
    """Take jobs until there are none."""
    line, rolls = await Line.open(act.url, array("d"), tls=act.tls), random.Random(seed)
    voice = Voice(member, cores=JOBS_MAX)
    while found := GIVEN.findall(await line.ask(voice.ask(JOBS_MAX))):
        given: list[Given] = [one[:3] for one in found]
        await line.ask(voice.started(given))
        for job, token in zip(given, (one[3] for one in found), strict=True):
            content = rolls.randbytes(size)
            sha256 = hashlib.sha256(content).hexdigest()
            put = head(
                f"/v1/blobs/{sha256}",
                token.decode(),
                method="PUT",
                media="application/octet-stream",
            )
            await line.ask(request(put, content))
            await line.ask(voice.ended([job], OUTPUT % (sha256.encode(), size), 0))
    await line.close()
