"""A site that fails far more often than all others together is told of, once."""

from pilotage.central.sites.failure_rates import HALF_LIFE_S, SiteRates
from pilotage.central.sites.suspended_hosts import SuspendedHosts


def fed(rates: SiteRates, site: str, good: int, bad: int, now: float = 0.0) -> str:
    for _ in range(good):
        assert not rates.ended(site, is_infra=False, now=now)
    said = [rates.ended(site, is_infra=True, now=now) for _ in range(bad)]
    return next(filter(None, said), "")


def test_five_times_as_bad_as_all_others_is_told() -> None:
    rates = SiteRates()
    assert fed(rates, "PIC", 95, 5) == ""
    assert fed(rates, "CSCS", 90, 10) == ""

    assert fed(rates, "DESY", 70, 20) == "", "three times is not enough"
    why = fed(rates, "CNAF", 20, 40)
    assert why.endswith("of its attempts fail because of the site, elsewhere 12%")
    assert fed(rates, "CNAF", 0, 10) == "", "then its count begins anew"


def test_few_ends_say_nothing_of_a_site_and_nothing_is_said_where_there_is_no_other() -> None:
    rates = SiteRates()
    assert fed(rates, "PIC", 0, 500) == "", "there is no other site"
    rates = SiteRates()
    fed(rates, "CSCS", 100, 0)
    assert fed(rates, "PIC", 0, 19) == ""
    assert fed(rates, "PIC", 0, 1) != ""


def test_what_is_old_counts_less() -> None:
    rates = SiteRates()
    fed(rates, "CSCS", 1_000, 0, now=10 * HALF_LIFE_S)
    fed(rates, "PIC", 10, 19, now=0.0)

    assert fed(rates, "PIC", 30, 1, now=10 * HALF_LIFE_S) == ""


def test_a_suspended_host_gets_one_job_after_its_pause_and_the_last_one_is_never_suspended() -> (
    None
):
    hosts = SuspendedHosts()
    for host in ("n1", "n2"):
        assert hosts.room("PIC", "ce", host, 0.0) is None

    assert hosts.suspend("PIC", "n1", for_s=100.0, why="it fails", now=1.0)
    assert not hosts.suspend("PIC", "n1", for_s=100.0, why="again", now=2.0)
    assert not hosts.suspend("PIC", "n2", for_s=100.0, why="then none is left", now=2.0)
    assert not hosts.suspend("PIC", "n9", for_s=100.0, why="nobody knows it", now=2.0)
    assert hosts.room("PIC", "ce", "n1", 100.0) == 0
    assert hosts.room("PIC", "ce", "n1", 101.5) == 1


def test_a_job_is_kept_off_a_host_for_as_long_as_is_said_and_never_off_all() -> None:
    hosts = SuspendedHosts()
    for host in ("n1", "n2"):
        hosts.room("PIC", "ce", host, 0.0)
    hosts.keep_off("PIC", "n1", 7, for_s=3_600.0, now=0.0)
    hosts.keep_off("PIC", "n1", 8, for_s=60.0, now=0.0)

    assert set(hosts.aside("PIC", "n1", 59.0)) == {7, 8}
    assert set(hosts.aside("PIC", "n1", 61.0)) == {7}, "the shorter one behind the longer one ends"
    assert set(hosts.aside("PIC", "n1", 3_601.0)) == set()
    hosts.keep_off("PIC", "n1", 9, for_s=60.0, now=0.0)
    hosts.keep_off("PIC", "n2", 9, for_s=60.0, now=0.0)
    assert 9 not in {*hosts.aside("PIC", "n1", 1.0), *hosts.aside("PIC", "n2", 1.0)}


def test_a_job_waits_for_no_host_whose_pilots_have_ended_or_that_is_suspended() -> None:
    ended: set[tuple[str, str]] = set()
    hosts = SuspendedHosts(lambda site, host: (site, host) not in ended)
    for host in ("n1", "n2", "n3", "n4"):
        hosts.room("PIC", "ce", host, 0.0)
    hosts.suspend("PIC", "n3", for_s=100.0, why="it fails", now=1.0)
    for host in ("n1", "n2", "n4"):
        hosts.keep_off("PIC", host, 7, for_s=600.0, now=1.0)
    with_four = [7 in hosts.aside("PIC", host, 1.0) for host in ("n1", "n2", "n4")]
    for host in ("n1", "n2"):
        hosts.keep_off("PIC", host, 8, for_s=600.0, now=1.0)
    while_n4_lives = [8 in hosts.aside("PIC", host, 1.0) for host in ("n1", "n2")]
    ended.add(("PIC", "n4"))

    assert with_four == [False, False, False], "the host that is suspended is no other choice"
    assert while_n4_lives == [True, True]
    assert not [host for host in ("n1", "n2") if 8 in hosts.aside("PIC", host, 1.0)]
