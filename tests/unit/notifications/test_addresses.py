"""Mail addresses and URLs that people may give."""

import pytest

from pilotage.central.errors import Refused
from pilotage.central.notifications.addresses import WebhookUrl, check_mail, parse_webhook
from pilotage.central.settings import NotifySettings
from pilotage.proto.problems import Code

CLOSED = NotifySettings()
OPEN = NotifySettings(webhook_http=True, webhook_ports=(80, 443, 8_443))


def test_mail_goes_to_the_verified_address_and_to_domains_of_the_operator() -> None:
    check_mail("Ada@Example.org", verified="ada@example.org", domains=())
    check_mail("team@pic.es", verified="", domains=("PIC.es",))
    for address in ("eve@example.org", "ada@example.org.evil.net", "ada@sub.pic.es"):
        with pytest.raises(Refused) as refused:
            check_mail(address, verified="ada@example.org", domains=("pic.es",))
        assert refused.value.code is Code.FORBIDDEN


@pytest.mark.parametrize(
    "address",
    [
        *("", "ada", "@pic.es", "ada@", "a da@pic.es", "ada@pic.es,eve@pic.es", "<ada@pic.es>"),
        *("ada@pic.es\n", "ada@pic.es\r\nBcc: eve@x.org", "ada\u2028@pic.es", '"a b"@pic.es'),
        *("ada@[127.0.0.1]", "ada@pic..es", "ada@-pic.es", "ádá@pic.es", "ada@pic.es\0"),
    ],
)
def test_a_text_that_is_no_single_address_is_refused_even_if_it_is_verified(address: str) -> None:
    with pytest.raises(Refused) as refused:
        check_mail(address, verified=address, domains=("pic.es",))

    assert refused.value.code is Code.INVALID


def test_the_parts_of_a_url_are_found() -> None:
    plain = parse_webhook("https://Hooks.example.org/T1/x?y=z", CLOSED)
    assert plain == WebhookUrl(
        scheme="https", host="hooks.example.org", port=443, target="/T1/x?y=z"
    )
    other = parse_webhook("http://[2001:db8::1]:8443", OPEN)
    assert other == WebhookUrl(scheme="http", host="2001:db8::1", port=8_443, target="/")
    assert parse_webhook("http://example.org", OPEN).port == 80


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.org", "//example.org", "http://example.org", "file:///etc/passwd"),
        *("gopher://example.org", "javascript:alert(1)", "https://", "https:///path"),
        *("https://user@example.org", "https://a:b@example.org", "https://example.org@evil.net"),
        *("https://example.org:22", "https://example.org:0", "https://example.org:99999"),
        *("https://example.org:x", "https://exa mple.org", "https://example.org/a b"),
        *("https://example.org/\r\nX: y", "https://example.org/é", "https://éxample.org"),
        *("https://example.org/#frag", "https://example.org\\@evil.net", "https://[::1"),
        *("https://[fe80::1%25eth0]/", "https://ex%61mple.org", "https://example.org\n"),
        *("https://-a.org", "https://a..org", f"https://{'a' * 64}.org"),
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_webhook(url, CLOSED)

    assert refused.value.field == "webhook"
