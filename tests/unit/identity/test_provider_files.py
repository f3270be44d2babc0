"""Files of providers: what is read, what is refused with its line, and what stays in force."""

import os
from pathlib import Path

import pytest

from pilotage.central.entry_files import BadEntryFile
from pilotage.central.identity.providers.provider_files import (
    ProviderBook,
    Providers,
    read_provider,
    read_providers,
)
from pilotage.proto.claims import Role

GOOD = """\
issuer: https://iam.example.org/
client: {id: pilotage, secret_file: /etc/pilotage/iam.secret}
scopes: [openid, profile, offline_access, wlcg.groups]
bearer: {audiences: ["https://central.example.org"]}
groups: {claims: [wlcg.groups, groups], from: [id_token, access_token, userinfo]}
subjects: {robot-1: {role: manager, groups: [ctao]}}
map:
  - {match: /ctao/pilotage-admins, community: ctao, role: admin}
  - {match: "/ctao/{group}", community: ctao, role: user, groups: ["{group}"]}
  - match: urn:mace:egi.eu:group:ctao:{group}:role=member#aai.egi.eu
    community: ctao
    role: user
    groups: ["{group}"]
"""


def written(folder: Path, text: str = GOOD, name: str = "iam") -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(text)
    return file


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def test_the_file_of_the_manual_is_read(tmp_path: Path) -> None:
    entry = read_provider(written(tmp_path))

    assert entry.issuer == "https://iam.example.org/"
    assert entry.client is not None and entry.client.secret_file == "/etc/pilotage/iam.secret"
    assert entry.bearer is not None and not entry.bearer.capabilities
    assert entry.groups.from_ == ("id_token", "access_token", "userinfo")
    assert entry.algorithms == ("ES256", "RS256")
    assert [row.role for row in entry.map] == [Role.ADMIN, Role.USER, Role.USER]
    assert entry.community_of(entry.subjects["robot-1"]) == "ctao"


#    what is wrong in the file                                       line, field and words
BAD = {
    "no YAML": ("issuer: [", ":2: "),
    "nothing": ("", "issuer: is required and missing"),
    "a tab": ("issuer: x\n\tclient: y", ":2: found a tab"),
    "an anchor": (changed("map:", "map: &a"), "anchors and aliases are not read"),
    "a key twice": (f"{GOOD}map: []\n", ":14: the key 'map' occurs twice"),
    "an unknown key": (changed("scopes:", "scope:"), ":3: scope: there is no field 'scope'; did"),
    "plain http": (
        changed("https://iam", "http://iam"),
        ":1: issuer: 'http://iam.example.org/' is",
    ),
    "an issuer with a query": (changed("org/\n", "org/?x\n"), ":1: issuer: "),
    "no kind of access": (
        changed("client: {id: pilotage, secret_file: /etc/pilotage/iam.secret}\n", "").replace(
            'bearer: {audiences: ["https://central.example.org"]}\n', ""
        ),
        ":1: client: is missing, and so is `bearer`: nobody could log in",
    ),
    "a relative secret": (
        changed("/etc/", "etc/"),
        ":2: client.secret_file: expected text of an absol",
    ),
    "no openid": (changed("[openid, ", "["), ":3: scopes: expected openid among them"),
    "a scope of two words": (
        changed("[openid, ", '["openid x", '),
        ":3: scopes[0]: expected text: one word",
    ),
    "no audience": (
        changed('["https://central.example.org"]', "[]"),
        ":4: bearer.audiences: expected a list of at least 1 entry",
    ),
    "the audience any": (
        changed("https://central.example.org", "https://wlcg.cern.ch/jwt/v1/any"),
        ":4: bearer.audiences: https://wlcg.cern.ch/jwt/v1/any is refused: any site or storage",
    ),
    "the audience of ID tokens": (
        changed("https://central.example.org", "pilotage"),
        ":4: bearer.audiences: 'pilotage' is the client, the audience of ID tokens",
    ),
    "a default community that nobody is in": (
        changed('example.org"]}', 'example.org"], community: lhcb}'),
        ":4: bearer.community: 'lhcb' is not in the map; it names ctao",
    ),
    "a document without claims": (
        changed("id_token,", "idtoken,"),
        ":5: groups.from[0]: unknown word",
    ),
    "no claims": (changed("claims: [wlcg.groups, groups], ", ""), ":5: groups.claims: is missing"),
    "an unknown role": (
        changed("role: manager", "role: boss"),
        ":6: subjects.robot-1.role: unknown word",
    ),
    "no rows": (GOOD[: GOOD.index("subjects:")], "map: is missing: without rows"),
    "a row without community": (
        changed("admins, community: ctao", "admins"),
        ":8: map[0].community: is required",
    ),
    "a row with an empty one": (
        changed("admins, community: ctao", "admins, community: ''"),
        ":8: map[0].community: is empty: name",
    ),
    "a strange community": (
        changed("admins, community: ctao", "admins, community: c/o"),
        ":8: map[0].community: 'c/o' is not a valid community",
    ),
    "all communities for a user": (
        changed('/{group}", community: ctao', '/{group}", community: "*"'),
        ':9: map[1].community: "*" is for operators and admins; user needs a community',
    ),
    "a subject without community": (
        changed('/{group}", community: ctao', '/{group}", community: lhcb'),
        ":6: subjects.robot-1.community: is missing, and the map does not name exactly one",
    ),
    "a strange group of a subject": (
        changed("[ctao]", "[c t]"),
        ":6: subjects.robot-1.groups: 'c t' is not a valid group",
    ),
    "a strange group of a row": (
        changed('user, groups: ["{group}"]', "user, groups: [/x]"),
        ":9: map[1].groups: '/x' is not a valid group",
    ),
    "a placeholder without a match": (
        changed('user, groups: ["{group}"]', 'user, groups: ["{team}"]'),
        ":9: map[1].groups: '{team}': `match` has no {team}; use a placeholder of `match`",
    ),
    "a wrong placeholder": (
        changed('"/ctao/{group}"', '"/ctao/{Group}"'),
        ":9: map[1].match: '/ctao/{Group}' has the",
    ),
    "a wrong placeholder of groups": (
        changed('user, groups: ["{group}"]', 'user, groups: ["{group"]'),
        ":9: map[1].groups: '{group' has a brace",
    ),
    "an algorithm that is not taken": (
        f"{GOOD}algorithms: [HS256]\n",
        ":14: algorithms[0]: unknown word",
    ),
    "a relative authority": (
        f"{GOOD}ca_file: ca.pem\n",
        ":14: ca_file: expected text: an absolute path, or nothing",
    ),
    "a title with a line end": (
        f'{GOOD}title: "a\\nb"\n',
        ":14: title: expected text: at most 512",
    ),
    "a long subject": (
        changed("robot-1", "r" * 256),
        ":6: subjects." + "r" * 256 + ": a subject has 1 to 255",
    ),
}


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_refused_with_line_field_and_right_form(
    tmp_path: Path, text: str, said: str
) -> None:
    file = written(tmp_path, text)

    with pytest.raises(BadEntryFile) as refused:
        read_provider(file)

    assert str(refused.value).startswith(f"{file}")
    assert said in str(refused.value)


def test_a_bad_file_keeps_its_last_version_and_disables_no_other(tmp_path: Path) -> None:
    providers = Providers(tmp_path)
    file = written(tmp_path)
    written(tmp_path, GOOD.replace("iam.ex", "egi.ex"), "egi")
    providers.look()
    file.write_text("issuer: [")
    providers.look()

    assert list(providers.book.providers) == ["egi", "iam"]
    assert list(providers.book.troubles) == ["iam"]
    assert providers.book.by_issuer("https://iam.example.org/") is not None

    file.unlink()
    providers.look()
    assert providers.book.by_issuer("https://iam.example.org/") is None
    assert providers.book.troubles == {}


def test_a_bad_file_that_was_never_good_disables_itself(tmp_path: Path) -> None:
    written(tmp_path, "issuer: [")
    book = read_providers(tmp_path, ProviderBook())

    assert (dict(book.providers), list(book.troubles)) == ({}, ["iam"])


def test_issuers_are_compared_letter_by_letter(tmp_path: Path) -> None:
    written(tmp_path)
    book = read_providers(tmp_path, ProviderBook())

    assert book.by_issuer("https://iam.example.org/") is not None
    for other in ("https://iam.example.org", "https://IAM.example.org/", ""):
        assert book.by_issuer(other) is None


def test_the_second_file_of_an_issuer_is_a_trouble(tmp_path: Path) -> None:
    written(tmp_path, name="b")
    first = read_providers(tmp_path, ProviderBook())
    written(tmp_path, name="a")
    book = read_providers(tmp_path, first)

    assert list(first.providers) == ["b"]
    assert list(book.providers) == ["a"]  # the kept version of b would have the same issuer
    assert "b.yaml:1: issuer: 'https://iam.example.org/' is that of a.yaml" in book.troubles["b"]


def test_a_folder_that_is_not_there_means_no_providers_and_one_that_hides_changes_nothing(
    tmp_path: Path,
) -> None:
    written(tmp_path)
    book = read_providers(tmp_path, ProviderBook())
    hidden = read_providers(tmp_path / "iam.yaml", book)

    assert read_providers(tmp_path / "none", book) == ProviderBook()
    assert "cannot be listed" in hidden.unlisted
    assert hidden.providers == book.providers


def test_names_and_kinds_of_files_are_checked(tmp_path: Path) -> None:
    written(tmp_path, name="a b")
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "long.yaml").write_text("#" * 1_000_001)
    (tmp_path / "notes.txt").write_text("no provider")
    book = read_providers(tmp_path, ProviderBook())

    assert not book.providers
    assert "is not a valid provider name" in book.troubles["a b"]
    assert "is not a regular file" in book.troubles["pipe"]
    assert "has more than 1000000 bytes" in book.troubles["long"]
    assert len(book.troubles) == 3


def test_unchanged_files_are_not_read_again(tmp_path: Path) -> None:
    told: list[ProviderBook] = []
    providers = Providers(tmp_path, told.append)
    written(tmp_path)
    providers.look()
    providers.look()
    written(tmp_path, GOOD + "title: IAM\n")
    providers.look()
    Providers().look()

    assert [book.providers["iam"].title for book in told] == ["", "IAM"]


@pytest.mark.parametrize("target", ["nowhere", "odd.yaml"])
def test_a_link_that_leads_nowhere_does_not_freeze_the_folder(tmp_path: Path, target: str) -> None:
    providers = Providers(tmp_path)
    (tmp_path / "odd.yaml").symlink_to(target)
    written(tmp_path)
    providers.look()
    assert (set(providers.book.providers), set(providers.book.troubles)) == ({"iam"}, {"odd"})
    written(tmp_path, name="other", text=changed("https://iam.ex", "https://other.ex"))
    providers.look()
    assert set(providers.book.providers) == {"iam", "other"}


def test_files_of_editors_are_not_read(tmp_path: Path) -> None:
    (tmp_path / ".#iam.yaml").symlink_to("ada@host.1234")
    written(tmp_path)
    book = read_providers(tmp_path, ProviderBook())

    assert (set(book.providers), book.troubles) == ({"iam"}, {})
