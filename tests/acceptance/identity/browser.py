"""A person with a browser, as a script: follows redirects, fills forms and keeps cookies.

The browser holds cookies as real ones do: by host (not by port), `Secure`, `__Host-` and
`SameSite` included. Requests wait for their answers, so a test whose central runs in its own event
loop walks in a thread.
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urljoin, urlsplit
from urllib.request import Request

import httpx

from pilotage.proto.trust import trusting

STEPS_MAX: Final = 30
WAIT_S: Final = 10.0
CANCEL: Final = "[ Cancel ]"  # the link of the provider's pages that ends a login

Step = Literal["login", "consent", "device"]


@dataclass(frozen=True)
class Form:
    """A form, with its fields as they are filled at first, and its named buttons.

    `texts` are the fields that a person types into.
    """

    action: str  # a whole address
    method: str
    fields: Mapping[str, str]
    texts: Sequence[str]
    buttons: Mapping[str, str]
    label: str  # the id, or an empty string

    @property
    def step(self) -> Step | None:
        """What the provider asks of a person here; None: another form."""
        if "login" in self.texts:
            return "login"
        if self.fields.get("prompt") == "consent":
            return "consent"
        return "device" if "confirm" in self.fields else None

    @property
    def typed(self) -> str:
        """What a person has to type: login, user_code or an empty string."""
        return next((one for one in ("login", "user_code") if one in self.texts), "")


@dataclass(frozen=True)
class Page:
    """A response as a person sees it. Status 0: the browser stopped before this address."""

    address: str
    status: int = 0
    text: str = ""
    location: str = ""  # a redirect leads there
    forms: Sequence[Form] = ()
    links: Mapping[str, str] = field(default_factory=dict)  # text: address

    @property
    def query(self) -> dict[str, str]:
        """The parameters in the address: a loopback redirect has its code there."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.address).query).items()}


class Person:
    """Somebody with a browser of their own, who has the account `login` at the provider."""

    def __init__(self, login: str, *ca_files: Path) -> None:
        """`ca_files`: authorities of the provider and of centrals; none: those of the system."""
        self.login = login
        self.visited: list[str] = []  # all addresses that were requested, in order
        self.jar = CookieJar(_Policy())
        self._came_from = ""  # the page whose form or link led to the last request
        self._client = httpx.Client(
            verify=_trusting(ca_files),
            timeout=WAIT_S,
            limits=httpx.Limits(max_keepalive_connections=0),  # a restart leaves no dead ones
        )

    def close(self) -> None:
        """Close the window; cookies stay in `jar`."""
        self._client.close()

    def __enter__(self) -> "Person":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def walk(
        self,
        start: str | Page,
        *,
        until: str = "",
        refuses: Step | None = None,
        user_code: str = "",
    ) -> Page:
        """Follow redirects and fill forms; return the last page.

        The walk ends before a redirect to an address that begins with `until`, which is not
        requested, or at a page without a form. At the step that the person `refuses`, they press
        Cancel or Abort. `user_code` is what they type where a page asks for the code of a device.
        A page that asks again for the code, or for a login, has refused it: it is the last one.
        """
        page = self.open(start) if isinstance(start, str) else start
        typed: set[str] = set()
        for _ in range(STEPS_MAX):
            if page.location:
                if until and page.location.startswith(until):
                    return Page(page.location)
                page = self.follow(page)
            elif page.forms and page.forms[0].typed not in typed:
                form = page.forms[0]
                typed |= {form.typed} if form.typed else set()
                page = self._fill(page, form, refuses, user_code)
            else:
                return page
        raise AssertionError(f"no end of pages: {self.visited[-STEPS_MAX:]}")

    def open(self, address: str) -> Page:
        """Request an address that was typed in, or clicked outside the browser."""
        return self._request("GET", address, came_from="")

    def follow(self, page: Page) -> Page:
        """Go where a redirect leads."""
        return self._request("GET", page.location, came_from=self._came_from)

    def click(self, page: Page, text: str) -> Page:
        """Follow the link with this text."""
        assert text in page.links, f"no link {text!r} at {page.address}: {list(page.links)}"
        return self._request("GET", page.links[text], came_from=page.address)

    def press(self, page: Page, form: Form, *, button: str = "", **fields: str) -> Page:
        """Send a form of a page with some fields changed, by a named button if one is given."""
        filled = {**form.fields, **fields}
        if button:
            filled[button] = form.buttons[button]
        if form.method == "get":
            address = str(httpx.URL(form.action, params=filled))
            return self._request("GET", address, came_from=page.address)
        return self._request("POST", form.action, came_from=page.address, fields=filled)

    def ask(
        self,
        method: str,
        address: str,
        *,
        origin: str | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> httpx.Response:
        """Send a request as a script of a page does, with the cookies that it would carry.

        `origin` is that of the page; None: that of the address itself, "": no such header.
        """
        said = origin_of(address) if origin is None else origin
        sent = {**({"origin": said} if said else {}), **(headers or {})}
        request = httpx.Request(method, address, headers=sent, json=json)
        return self._send(request, came_from=said)

    def cookie(self, name: str) -> Cookie | None:
        """Return the cookie of this name, of whatever host."""
        return next((one for one in self.jar if one.name == name), None)

    def _fill(self, page: Page, form: Form, refuses: Step | None, user_code: str) -> Page:
        if refuses is not None and form.step == refuses:
            if refuses == "device":
                return self.press(page, form, button="abort")
            return self.click(page, CANCEL)
        if form.typed == "login":
            return self.press(page, form, login=self.login, password="any")
        if form.typed == "user_code":
            assert user_code, f"{page.address} asks for the code of a device"
            return self.press(page, form, user_code=user_code)
        return self.press(page, form)

    def _request(
        self, method: str, address: str, *, came_from: str, fields: Mapping[str, str] | None = None
    ) -> Page:
        headers = {"accept": "text/html"}
        if method == "POST":
            headers["origin"] = origin_of(came_from)
        request = httpx.Request(method, address, headers=headers, data=fields)
        self._came_from = came_from
        response = self._send(request, came_from=came_from)
        location = response.headers.get("location", "") if response.has_redirect_location else ""
        reader = _Reader(address)
        if "html" in response.headers.get("content-type", ""):
            reader.feed(response.text)
        return Page(
            address,
            response.status_code,
            response.text,
            urljoin(address, location) if location else "",
            reader.forms(),
            reader.links,
        )

    def _send(self, request: httpx.Request, *, came_from: str) -> httpx.Response:
        """Send with the cookies of this browser alone: those of httpx know no SameSite."""
        address = str(request.url)
        self.visited.append(address)
        self.jar.set_policy(
            _Policy(is_foreign=bool(came_from) and site(came_from) != site(address))
        )
        cookies = httpx.Cookies(self.jar)
        cookies.set_cookie_header(request)
        response = self._client.send(request)
        self._client.cookies.clear()
        cookies.extract_cookies(response)
        return response


class _Policy(DefaultCookiePolicy):
    """When a cookie is taken and sent. `is_foreign`: another site's page caused the request."""

    def __init__(self, *, is_foreign: bool = False) -> None:
        super().__init__()
        self._is_foreign = is_foreign

    def set_ok(self, cookie: Cookie, request: Request) -> bool:
        if cookie.secure and request.type != "https":
            return False
        if cookie.name.startswith("__Host-"):
            bound = cookie.path == "/" and cookie.path_specified and not cookie.domain_specified
            if not (cookie.secure and bound):
                return False
        return super().set_ok(cookie, request)

    def return_ok(self, cookie: Cookie, request: Request) -> bool:
        if self._is_foreign:
            rule = _same_site(cookie)
            if rule == "strict" or (rule == "lax" and request.get_method() != "GET"):
                return False
        return super().return_ok(cookie, request)


def _same_site(cookie: Cookie) -> str:
    """Return strict, lax or none; a cookie that says nothing is lax, as browsers have it."""
    for name in ("SameSite", "samesite", "Samesite"):
        if cookie.has_nonstandard_attr(name):
            return str(cookie.get_nonstandard_attr(name)).lower()
    return "lax"


class _Reader(HTMLParser):
    """Collects the forms and links of a page."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address
        self._found: list[dict[str, Any]] = []
        self._outside: list[tuple[str, str, str]] = []  # buttons that name their form
        self._within = False
        self._link: str | None = None
        self.links: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            action = urljoin(self._address, given.get("action", ""))
            method = given.get("method", "get").lower()
            form = {"action": action, "method": method, "label": given.get("id", "")}
            self._found.append({**form, "fields": {}, "texts": [], "buttons": {}})
            self._within = True
        elif tag == "a" and "href" in given:
            self._link = urljoin(self._address, given["href"])
        elif tag in ("input", "button", "textarea") and "name" in given:
            is_button = tag == "button" or given.get("type") in ("submit", "button")
            name, value = given["name"], given.get("value", "")
            if is_button and "form" in given:
                self._outside.append((given["form"], name, value))
            elif self._within:
                self._found[-1]["buttons" if is_button else "fields"][name] = value
                if tag == "textarea" or (tag == "input" and given.get("type", "text") == "text"):
                    self._found[-1]["texts"].append(name)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._within = False
        elif tag == "a":
            self._link = None

    def handle_data(self, data: str) -> None:
        if self._link is not None and data.strip():
            self.links[data.strip()] = self._link

    def forms(self) -> tuple[Form, ...]:
        for label, name, value in self._outside:
            for form in self._found:
                if form["label"] == label:
                    form["buttons"][name] = value
        return tuple(Form(**form) for form in self._found)


def origin_of(address: str) -> str:
    """Return scheme, host and port of an address."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def site(address: str) -> tuple[str, str | None]:
    """Return what SameSite compares: scheme and host, without the port."""
    parts = urlsplit(address)
    return parts.scheme, parts.hostname


def _trusting(ca_files: Sequence[Path]) -> ssl.SSLContext:
    context = trusting(str(ca_files[0]) if ca_files else None)
    for file in ca_files[1:]:
        context.load_verify_locations(file)
    return context
