"""A case of the gate takes at most 20 seconds, except for a few that must take longer.

Most of these run several processes through kills and take-overs, and wait for leases to end.
"""

from typing import Final

from tests import durations, side_by_side

from . import tree

# File, and test. Of a test with parameters all cases may be long.
ALLOWED: Final = {
    "acceptance/data/test_chain.py": ("test_the_chain_is_complete_although_a_storage_dies",),
    "acceptance/sites/test_four_sites.py": ("test_all_jobs_that_fit_are_done_once",),
    "acceptance/test_backup.py": (
        "test_a_copy_that_was_taken_under_load_goes_on_and_what_came_later_never_counts",
    ),
    "acceptance/test_ctapipe_chain.py": (
        "test_runs_become_one_file_with_the_right_directions_on_two_pilots",
    ),
    "acceptance/test_ctapipe_production.py": (
        "test_runs_in_groups_become_one_file_with_the_right_directions",
    ),
    "acceptance/test_death_around_the_central.py": (
        "test_a_pilot_a_guard_and_the_broker_die_and_every_job_ends_once",
    ),
    "acceptance/test_parked_pilots.py": (
        "test_those_that_know_no_other_process_hear_over_the_bus_where_the_new_leader_is",
        "test_without_a_bus_they_ask_by_themselves",
    ),
    "acceptance/test_postgresql.py": (
        "test_neither_its_death_nor_that_of_its_database_loses_a_job",
    ),
    "acceptance/test_prod6_graph.py": ("test_all_is_completed_without_a_hand",),
    "acceptance/test_productions.py": (
        "test_it_pauses_goes_on_and_outlives_the_death_of_the_central_at_each_step",
    ),
    "acceptance/test_takeover.py": (
        "test_neither_a_database_that_crashes_nor_ended_connections_lose_anything",
    ),
    "acceptance/test_takeover_on_the_bus.py": (
        "test_a_leader_without_its_lease_answers_nothing_over_the_broker_that_it_still_has",
    ),
    "acceptance/test_transformations.py": ("test_every_file_is_counted_once_whatever_dies",),
    "acceptance/test_rolling_upgrade.py": (
        "test_a_pilot_of_the_version_before_runs_on_and_an_older_one_hears_that_it_must_go",
    ),
    "contract/element/test_arc.py": ("test_pilots_live_and_end_with_either_credential",),
    "contract/store/test_machine.py": ("test_a_real_store_and_the_one_in_memory_do_the_same",),
    "contract/element/test_calls.py": ("test_an_element_is_reached",),
    "cwl/test_conformance.py": ("test_a_third_of_the_conformance_tests_pass_on_this_machine",),
    "docs/test_tutorial.py": ("test_a_page_happens_as_it_is_told",),
    "faults/test_failing_calls.py": (
        "test_a_central_whose_calls_fail_ends_or_goes_on_and_loses_nothing",
    ),
    "faults/test_kills.py": (
        "test_a_central_that_is_killed_under_load_loses_nothing_and_counts_nothing_twice",
    ),
    "integration/line/test_failover_cycle.py": (
        "test_what_somebody_has_removed_or_read_is_told_and_left_alone",
    ),
    "integration/line/test_on_fakes.py": (
        "test_a_full_pilot_is_explained_as_what_is_free_of_it_and_as_it_would_be_empty",
    ),
    "integration/test_compiled_matcher.py": (
        "test_the_compiled_form_does_what_the_matcher_s_tests_ask",
    ),
    "integration/test_wheel.py": (
        "test_every_module_is_imported_from_the_wheel",
        "test_the_client_runs_on_python_3_10",
        "test_the_wheel_alone_brings_what_the_client_needs",
    ),
    "simulation/test_outages.py": (
        "test_a_world_keeps_the_promises_if_something_is_away_for_hours",
    ),
}


def test_no_other_case_of_the_gate_is_long() -> None:
    allowed = {f"tests/{file}::{test}" for file, tests in ALLOWED.items() for test in tests}
    page = (tree.ROOT / durations.PAGE).read_text()
    long = {case.partition("[")[0] for case in durations.named_as_long(page)}

    assert long, "the page lists cases in another form now"
    assert long <= allowed, "make it shorter, mark it `long`, or list it here"


def test_all_that_may_be_long_exist() -> None:
    missing = [
        f"{file}::{test}"
        for file, tests in ALLOWED.items()
        for test in tests
        if test.partition("::")[0] not in (tree.ROOT / "tests" / file).read_text()
    ]

    assert not missing


def test_every_file_that_the_order_of_the_cases_names_is_there() -> None:
    lists = (
        side_by_side.ALONE,
        side_by_side.THOROUGH,
        side_by_side.LONGEST,
        side_by_side.ON_DISK,
        side_by_side.PARTED,
        side_by_side.TOGETHER,
    )
    gone = {path for paths in lists for path in paths if not (tree.ROOT / "tests" / path).exists()}

    assert not gone, "a renamed file is no longer treated as its list says"
