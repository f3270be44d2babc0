"""What stands in place of batch systems and writes down each word that reaches it.

Programs: real files that come first on PATH, so that shells, quoting and environments are the real
ones. Web: a transport. A word is an argument, a line of a description, or a value of a body.
"""

import json
import stat
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import httpx

Words = list[str]
_SEEN = ("SLURM_CONF", "CONDOR_CONFIG", "_CONDOR_AUTH_SSL_CLIENT_CAFILE")
_MARK = "what follows is a description"
_END = "this is all"
# Each call is a file of words that end with NUL: what no word can hold.
_PROGRAM = """\
#!/bin/sh
name=${{0##*/}}
{{
    printf '%s\\0' "$name"
    for word; do printf '%s\\0' "$word"; done
    for seen in {seen}; do
        eval "value=\\${{$seen-}}"
        [ -z "$value" ] || printf '%s=%s\\0' "$seen" "$value"
    done
    for last; do :; done
    if [ "$name" = condor_submit ]; then printf '%s\\0' "{mark}"; /usr/bin/cat "$last"; fi
    printf '\\0%s' "{end}"
}} >"$(/usr/bin/mktemp "{folder}/calls/XXXXXXXX")"
case $name in
ssh) cd "{folder}/home" && exec /bin/sh -c "$last" ;;
env | sh | mkdir | rm | tail) exec "/usr/bin/$name" "$@" ;;
esac
if [ -f "{folder}/answers/$name" ]; then exec /usr/bin/cat "{folder}/answers/$name"; fi
"""
_NAMES = (
    *("sbatch", "squeue", "scancel", "condor_submit", "condor_q", "condor_rm"),
    *("condor_transfer_data", "ssh", "env", "sh", "mkdir", "rm", "tail"),
)


class Programs:
    """Programs that write down how they were called, and say what a test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "bin"
        for name in ("bin", "calls", "answers", "home"):
            (folder / name).mkdir(parents=True)
        for name in _NAMES:
            file = self.path / name
            file.write_text(
                _PROGRAM.format(folder=folder, seen=" ".join(_SEEN), mark=_MARK, end=_END)
            )
            file.chmod(file.stat().st_mode | stat.S_IXUSR)

    def say(self, answers: Mapping[str, str]) -> None:
        """Let programs say this from now on, and others nothing."""
        for file in (self.folder / "answers").iterdir():
            file.unlink()
        for name, text in answers.items():
            (self.folder / "answers" / name).write_text(text)

    def taken(self) -> list[Words]:
        """Return the calls since the last time, in an order of their own."""
        found: list[Words] = []
        for file in (self.folder / "calls").iterdir():
            text = file.read_bytes().decode("utf-8", "surrogateescape")
            text, end, _ = text.partition(f"\0{_END}")
            if not end:
                continue  # it is being written: of a pilot that begins
            file.unlink()
            words, mark, description = text.partition(f"{_MARK}\0")
            call = words.removesuffix("\0").split("\0")
            if mark:  # a backslash at the end of a line goes on with the next, as in HTCondor
                call += description.replace("\\\n", "").split("\n")
            if call[0] == "sh" and call[1] != "-c":
                continue  # a pilot that begins: at a time of its own
            # What ssh hands to the shell over there is judged by what comes of it.
            found.append(call[:-1] if call[0] == "ssh" else call)
        return sorted(found)


class Requests:
    """A transport that writes requests down, and says what a test wants."""

    def __init__(self) -> None:
        self._calls: list[Words] = []
        self.transport = httpx.MockTransport(self._handle)
        self._answers: Mapping[str, Any] = {}

    def say(self, answers: Mapping[str, Any]) -> None:
        """Answer requests whose method and path end like this, and others with nothing in JSON."""
        self._answers = answers

    def taken(self) -> list[Words]:
        """Return the requests since the last time, in an order of their own."""
        found, self._calls = self._calls, []
        return sorted(found)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self._calls.append([request.method, str(request.url), *_body(request)])
        asked = f"{request.method} {request.url.path}"
        for end, answer in self._answers.items():
            if asked.startswith(end.split(" ")[0]) and asked.endswith(end.split(" ")[1]):
                return httpx.Response(200, json=answer)
        return httpx.Response(200, json={})


def _body(request: httpx.Request) -> Iterator[str]:
    kind = request.headers.get("content-type", "")
    if "json" in kind:
        yield from _values(json.loads(request.content), "")
    elif "xml" in kind:
        for element in ET.fromstring(request.content).iter():
            yield f"{element.tag}={(element.text or '').strip()}"
    else:
        yield request.content.decode()


def _values(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in cast(dict[str, Any], value).items():
            yield from _values(one, f"{path}.{key}")
    elif isinstance(value, list):
        for number, one in enumerate(cast(list[object], value)):
            yield from _values(one, f"{path}[{number}]")
    else:
        yield f"{path}={value}"
