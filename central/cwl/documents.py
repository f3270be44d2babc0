"""Loads CWL documents: from this machine, noting what was read, or from texts that were sent."""

import re
from collections.abc import Container, Generator, Mapping
from contextlib import contextmanager
from typing import Final

from cwltool.context import LoadingContext
from cwltool.load_tool import fetch_document, make_tool, resolve_and_validate_document
from cwltool.process import Process, get_schema
from schema_salad.exceptions import ValidationException
from schema_salad.fetcher import DefaultFetcher

from .tools import made_tool

VERSIONS: Final = ("v1.0", "v1.1", "v1.2")
_IMPORTS: Final = re.compile(r"""\$(?:import|mixin)["']?\s*:\s*["']?([^"'\s,}#]+)(?=["'\s,}]|$)""")


class _Fetcher(DefaultFetcher):
    """Reads files and URLs. It refuses files that import each other: the library would crash."""

    _imports: dict[str, set[str]]  # of all files; the library has several fetchers for a document

    def fetch_text(self, url: str, content_types: list[str] | None = None) -> str:
        found = self._read(url, content_types)
        self._imports[url] = {self.urljoin(url, one) for one in _IMPORTS.findall(found)}
        if self._reaches(url, url):
            raise ValidationException(f"{url}: it imports itself, or a file that imports it")
        return found

    def _read(self, url: str, content_types: list[str] | None) -> str:
        return super().fetch_text(url, content_types)

    def _reaches(self, start: str, end: str) -> bool:
        left, seen = [start], set[str]()
        while left:
            ways = self._imports.get(left.pop(), set()) - seen
            if end in ways:
                return True
            seen |= ways
            left.extend(ways)
        return False


def loading() -> LoadingContext:
    """Return how the library loads documents: tools become jobs."""
    context = LoadingContext()
    context.fetcher_constructor = noting({})
    context.construct_tool_object = made_tool
    context.disable_js_validation = True
    context.relax_path_checks = True
    return context


def noting(texts: dict[str, str]) -> type[DefaultFetcher]:
    """Return a fetcher that reads files and URLs, and notes their texts."""

    class Noting(_Fetcher):
        _imports: dict[str, set[str]] = {}

        def fetch_text(self, url: str, content_types: list[str] | None = None) -> str:
            found = super().fetch_text(url, content_types)
            texts[url] = found
            return found

    return Noting


def sent(texts: Mapping[str, str], files: Container[str]) -> type[DefaultFetcher]:
    """Return a fetcher that knows the given texts, and reads nothing else."""

    class Sent(_Fetcher):
        _imports: dict[str, set[str]] = {}

        def _read(self, url: str, content_types: list[str] | None) -> str:
            if url not in texts:
                raise ValidationException(f"{url} was not sent with the document")
            return texts[url]

        def check_exists(self, url: str) -> bool:
            return url in texts or url.removeprefix("file://") in files

    return Sent


def process_of(main: str, texts: Mapping[str, str], files: Container[str]) -> Process:
    """Return the process of a document; the fields are those of `proto/documents/cwl.py`.

    Raises ValidationException, WorkflowException and UnsupportedRequirement.
    """
    context = loading()
    context.fetcher_constructor = sent(texts, files)
    with _own_ontologies(texts):
        context, loaded, uri = fetch_document(main, context)
        context, uri = resolve_and_validate_document(context, loaded, uri)
        return make_tool(uri, context)


@contextmanager
def _own_ontologies(texts: Mapping[str, str]) -> Generator[None]:
    """Keep the ontologies of a document to itself: the library adds them to those of all others."""
    if not any("$schemas" in one for one in texts.values()):
        yield
        return
    loaders = [get_schema(version)[0] for version in VERSIONS]
    before = [(one, one.graph, dict(one.cache)) for one in loaders]
    try:
        for one in loaders:
            one.graph = type(one.graph)() + one.graph
            for uri in texts:
                one.cache.pop(uri, None)
        yield
    finally:
        for one, graph, cache in before:
            one.graph = graph
            one.cache.clear()
            one.cache.update(cache)
