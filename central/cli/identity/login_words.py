"""The words of `pilotage login`. Names come from the central and its providers. Pure."""

from collections.abc import Sequence
from typing import Final

from pilotage.proto.api.logins import DeviceStarted, LoginTokens, ProviderView
from pilotage.proto.claims import Role

from ..presentation import clean

_UNSHOWN: Final = "\N{REPLACEMENT CHARACTER}"


def one_line(text: str) -> str:
    """Return a text as one line, without control characters."""
    return clean(text).replace("\n", _UNSHOWN)


def ascii_line(text: str) -> str:
    """Return a text that a person types or opens, without letters that only look like others."""
    return "".join(one if " " <= one <= "~" else _UNSHOWN for one in text)


def device_words(started: DeviceStarted, known: Sequence[ProviderView] = ()) -> tuple[str, ...]:
    """Return the lines that tell a person where to confirm a device login."""
    url = started.verification_uri_complete or started.verification_uri
    titles = {one.name: one.title for one in known}
    code = ascii_line(started.user_code)
    provider = one_line(titles.get(started.provider) or started.provider)
    return (
        f"open {ascii_line(url)}",
        f"and confirm the code {code} there, with your account at {provider}",
        "only confirm a code that you have asked for yourself",
    )


def no_device_flow(known: Sequence[ProviderView], provider: str) -> str:
    """Return what to do if the chosen, or only, provider has no device flow; else nothing."""
    chosen = [one for one in known if one.name == provider or (not provider and len(known) == 1)]
    if not chosen or chosen[0].device:
        return ""
    name = one_line(chosen[0].name)
    return f"{name} has no device flow: log in with `pilotage login --browser`"


def no_such_provider(known: Sequence[ProviderView], provider: str) -> str:
    """Return what to do if the chosen provider is unknown, or there is none; else nothing."""
    names = ", ".join(one_line(one.name) for one in known)
    if not known:
        return "no identity provider is set up here: ask an administrator for a token"
    if not provider and len(known) > 1:
        return f"there are several identity providers; choose one with --provider: {names}"
    if provider and provider not in [one.name for one in known]:
        return f"--provider: there is no identity provider {provider!r}; there are: {names}"
    return ""


def groups_in_words(role: Role, groups: Sequence[str]) -> str:
    """Return the groups of a token. A manager without groups manages the whole community."""
    return ", ".join(groups) or ("all" if role is Role.MANAGER else "none")


def login_words(url: str, tokens: LoginTokens) -> str:
    """Return the words for a login that is complete."""
    groups = groups_in_words(tokens.role, tokens.groups)
    return one_line(
        f"logged in at {url} as {tokens.subject} ({tokens.name or 'no name'}), "
        f"{tokens.role.value} in {tokens.community or 'all communities'}, groups {groups}"
    )
