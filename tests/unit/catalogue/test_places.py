"""Files of one name beside a program: numbered as they come, however many they are."""

from pilotage.central.catalogue.local_paths import PayloadPaths


def test_files_of_one_name_lie_beside_each_other() -> None:
    places = PayloadPaths()
    files = [("129/clean.txt", "dl1/"), ("2-clean.txt", "dl1"), ("130/clean.txt", "./dl1")]
    files += [("131/clean.txt", "dl1"), ("131/clean.txt", ""), ("other", "")]

    assert [places.of(name, to) for name, to in files] == [
        "dl1/clean.txt",
        "dl1/2-clean.txt",
        "dl1/3-clean.txt",
        "dl1/4-clean.txt",
        "clean.txt",
        "other",
    ]


def test_many_files_of_one_name_cost_no_more_than_others() -> None:
    places = PayloadPaths()
    many = {places.of("out", "in") for _ in range(100_000)}

    assert len(many) == 100_000
