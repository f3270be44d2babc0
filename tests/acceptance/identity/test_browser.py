"""The scripted browser keeps and sends cookies as browsers do."""

import http.server
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from .browser import Person

FORM = '<form method="post" action="{}"><input name="a" value="1"><button>Go</button></form>'
LINK = '<a href="{}">over there</a>'


@dataclass
class Site:
    """A server that sets cookies, redirects, and shows a form and a link, as its query says."""

    port: int = 0
    cookies: list[tuple[str, str]] = field(default_factory=list)  # path and cookies, as received
    origins: list[str | None] = field(default_factory=list)

    def at(self, host: str, path: str, query: str = "") -> str:
        return f"http://{host}:{self.port}{path}{'?' if query else ''}{query}"

    def sent_to(self, path: str) -> set[str]:
        """Return the names of the cookies of the last request to a path."""
        last = [said for one, said in self.cookies if one == path][-1]
        return {one.partition("=")[0].strip() for one in last.split(";") if one}


@pytest.fixture
def site() -> Generator[Site]:
    one = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            one.cookies.append((parts.path, self.headers.get("cookie", "")))
            one.origins.append(self.headers.get("origin"))
            self.send_response(302 if "to" in query else 200)
            for cookie in query.get("set", []):
                self.send_header("set-cookie", cookie)
            for to in query.get("to", []):
                self.send_header("location", to)
            self.send_header("content-type", "text/html")
            self.end_headers()
            for kind, text in (("form", FORM), ("link", LINK)):
                for to in query.get(kind, []):
                    self.wfile.write(text.format(to).encode())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        one.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield one
        server.shutdown()
        thread.join()


COOKIES = "set=s=1;SameSite=Strict&set=l=1;SameSite=Lax&set=n=1;SameSite=None&set=d=1"


def test_a_strict_cookie_stays_away_from_what_another_site_leads_to(site: Site) -> None:
    person = Person("alice")
    person.open(site.at("127.0.0.1", "/set", COOKIES))
    person.open(site.at("127.0.0.1", "/typed"))
    elsewhere = person.open(site.at("localhost", "/other", f"link={site.at('127.0.0.1', '/link')}"))
    person.click(elsewhere, "over there")
    form = person.open(site.at("localhost", "/other", f"form={site.at('127.0.0.1', '/form')}"))
    person.walk(form)
    own = person.open(site.at("127.0.0.1", "/own", f"form={site.at('127.0.0.1', '/own-form')}"))
    person.walk(own)

    assert site.sent_to("/typed") == {"s", "l", "n", "d"}
    assert site.sent_to("/other") == set()
    assert site.sent_to("/link") == {"l", "n", "d"}
    assert site.sent_to("/form") == {"n"}
    assert site.sent_to("/own-form") == {"s", "l", "n", "d"}


def test_a_redirect_after_a_form_of_another_site_brings_lax_cookies_only(site: Site) -> None:
    person = Person("alice")
    person.open(site.at("127.0.0.1", "/set", COOKIES))
    sent = site.at("localhost", "/sent", urlencode({"to": site.at("127.0.0.1", "/callback")}))
    person.walk(site.at("localhost", "/login", urlencode({"form": sent})))

    assert person.visited[-1].endswith("/callback")
    assert site.sent_to("/callback") == {"l", "n", "d"}


def test_a_cookie_that_must_be_secure_is_not_taken_over_plain_http(site: Site) -> None:
    person = Person("alice")
    person.open(site.at("127.0.0.1", "/set", "set=__Host-a=1;Path=/&set=b=1;Secure&set=c=1;Path=/"))

    assert [cookie.name for cookie in person.jar] == ["c"]
    assert person.cookie("c") is not None and person.cookie("b") is None


def test_a_script_says_its_origin_and_a_typed_address_has_none(site: Site) -> None:
    person = Person("alice")
    person.open(site.at("127.0.0.1", "/set", COOKIES))
    person.ask("POST", site.at("127.0.0.1", "/same"), json={})
    person.ask("POST", site.at("127.0.0.1", "/foreign"), origin="https://evil.test", json={})
    person.ask("POST", site.at("127.0.0.1", "/none"), origin="", json={})

    own = f"http://127.0.0.1:{site.port}"
    assert site.origins == [None, own, "https://evil.test", None]
    assert site.sent_to("/same") == site.sent_to("/none") == {"s", "l", "n", "d"}
    assert site.sent_to("/foreign") == {"n"}


def test_a_walk_stops_before_the_address_that_it_was_told(site: Site) -> None:
    person = Person("alice")
    loopback = "http://127.0.0.1:1/callback"
    start = site.at("127.0.0.1", "/start", f"to={loopback}%3Fcode%3Dc%26state%3Ds")
    page = person.walk(start, until=loopback)

    assert page.query == {"code": "c", "state": "s"}
    assert person.visited == [start]
