"""Pins from the command line, and what env measures about the CPUs that threads are pinned to."""

import json
import os
import subprocess

import pytest

CPUS = sorted(os.sched_getaffinity(0))


def run(tritbench, *args):
    return subprocess.run([str(tritbench), *map(str, args)], capture_output=True, text=True,
                          timeout=120, check=False)


def bench(tritbench, *args):
    return run(tritbench, "bench", "-k", "i2s_scalar", "-s", "128x128", "-r", "6", "-q", "--json",
               *args)


@pytest.mark.parametrize("command", [
    ["bench"], ["e2e", "-m", "absent.gguf"], ["roofline", "--quick"],
    ["tune", "-s", "256x256", "--dry-run"],
])
def test_pins_that_are_not_known_are_refused_in_one_line(tritbench, command):
    result = run(tritbench, *command, "--pin", "compakt")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "--pin" in result.stderr and "did you mean 'compact'?" in result.stderr


@pytest.mark.parametrize("command", [
    ["roofline", "--quick", "--threads", "1"], ["tune", "-s", "256x256", "-t", "1", "--dry-run"],
])
def test_a_cpu_that_may_not_be_used_is_refused(tritbench, command):
    result = run(tritbench, *command, "--pin", "60000")
    assert result.returncode == 2
    assert "CPU 60000" in result.stderr


def test_rows_are_measured_on_the_cpus_that_were_named(tritbench):
    cpu = CPUS[-1]
    result = bench(tritbench, "--pin", cpu, "--pin", "cores", "--pin", "60000")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert len({row["cell_key"] for row in rows}) == len(rows) == 3
    named, absent = (next(r for r in rows if test(r)) for test in (
        lambda r: r.get("pins") == cpu or r.get("pins") == str(cpu),
        lambda r: r["status"] == "unavailable"))
    assert named["status"] == "ok"
    assert "CPU 60000" in absent["reason"]


@pytest.mark.skipif(len(CPUS) < 2, reason="one CPU")
def test_a_list_keeps_its_order(tritbench):
    result = bench(tritbench, "-t", "2", "--pin", f"{CPUS[1]},{CPUS[0]}")
    assert result.returncode == 0, result.stderr
    [row] = json.loads(result.stdout)
    assert row["pins"] == f"{CPUS[1]} {CPUS[0]}"


def test_env_measures_every_pair_of_cpus_unless_told_not_to(tritbench):
    found = json.loads(run(tritbench, "env", "--json").stdout)["core_sharing"]
    assert found["pairs_in_all"] == len(CPUS) * (len(CPUS) - 1) // 2
    assert len(found["pairs"]) == min(100, found["pairs_in_all"])
    for pair in found["pairs"]:
        slowdown = pair["slowdown"]
        assert pair["shared"] == (slowdown is not None and slowdown > 1.25)
    assert json.loads(run(tritbench, "env", "--json", "--no-probe").stdout)["core_sharing"] is None
    assert "two at a time" in run(tritbench, "env").stdout
