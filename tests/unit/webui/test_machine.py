from pathlib import Path

from webui.machine import Machine, MachineWatch, Ticks, read_ticks, share


def test_the_share_is_of_the_time_between_two_looks() -> None:
    assert share(Ticks(10, 100), Ticks(15, 110)) == 50
    assert share(Ticks(10, 100), Ticks(10, 100)) == 0


def test_a_machine_is_measured(tmp_path: Path) -> None:
    found = MachineWatch(tmp_path, lambda: 0.0).look()
    assert 0 <= found.cpu_percent <= 100
    assert 0 < found.memory_percent <= 100
    assert 0 < found.disk_percent <= 100
    assert found.temperature_c is None or -50 < found.temperature_c < 150
    assert read_ticks().busy <= read_ticks().all


def test_looks_that_are_close_are_one(tmp_path: Path) -> None:
    clock, ticks = [100.0], [Ticks(0, 0), Ticks(1, 10), Ticks(10, 20)]
    watch = MachineWatch(tmp_path, lambda: clock[0], lambda: ticks.pop(0))
    assert watch.look().cpu_percent == 10
    clock[0] += 1
    assert watch.look().cpu_percent == 10
    clock[0] += 2
    assert watch.look().cpu_percent == 90


def test_an_empty_machine_divides_by_nothing() -> None:
    nothing = Machine(0, 0, 0, 0, 0, None)
    assert (nothing.memory_percent, nothing.disk_percent) == (0, 0)
