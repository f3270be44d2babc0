"""How a resource curve looks on a terminal."""

from pilotage.central.cli.jobs.charts import bars, columns
from pilotage.central.cli.jobs.curve import cores_used, picture
from pilotage.proto.api.jobs import Curve, CurvePoint


def points(*rows: tuple[float, float, float, float, int]) -> list[CurvePoint]:
    names = ("at_s", "cpu_s", "memory_mb", "scratch_mb", "processes")
    return [CurvePoint(**dict(zip(names, row, strict=True))) for row in rows]  # type: ignore[arg-type]


POINTS = points(
    (1, 0.5, 100, 0, 1), (2, 2.5, 1_000, 0, 8), (3, 3.5, 500, 2_500, 4), (4, 3.5, 250, 2_500, 1)
)


def test_each_part_of_the_time_has_its_highest_value_or_the_one_before() -> None:
    assert columns([(1, 5), (1.5, 7), (4, 2)], 4, 4.0) == [0, 7, 7, 2]
    assert columns([(0.0, 3)], 3, 0.0) == [0, 0, 3], "a curve without a length"


def test_bars_fill_their_lines_from_below() -> None:
    assert bars([0, 1, 2, 4], 2, 4.0) == ["   █", " ▄██"]
    assert bars([0, 0], 1, 0.0) == [""]


def test_cores_are_cpu_time_by_time() -> None:
    assert cores_used(POINTS) == [(1, 0.5), (2, 2.0), (3, 1.0), (4, 0.0)]


def test_the_picture_says_the_most_of_each_and_what_was_given() -> None:
    curve = Curve(job=7, epoch=2, cores=2, memory_mb=2_000, points=POINTS)
    lines = picture(curve)

    assert lines[0] == "job 7, attempt 2, ended: 4.0 s, CPU 3.5 s"
    assert [line for line in lines if ":" in line][1:] == [
        "CPU, cores: at most 2.0 of 2",
        "memory, MB: at most 1 000 of 2 000",
        "disk, MB: at most 2 500",
        "processes: at most 8.0",
    ]
    assert max(map(len, lines)) <= 80
    assert lines[-1].split() == ["0", "s", "4.0", "s"]
