"""tritbench roofline from outside: what it prints, in which time, what it keeps, and likwid-bench."""

import csv
import io
import json
import os
import subprocess
import time

import pytest

TINY = ["--footprint", "64K,8M", "--seconds", "1", "--threads", "1"]


@pytest.fixture
def roofline(tritbench, tmp_path):
    """Runs it with a cache of its own and a PATH without likwid-bench."""
    def run(*args, **variables):
        environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": str(tmp_path)}
        return subprocess.run([tritbench, "roofline", *args], capture_output=True, text=True,
                              timeout=300, check=False, env=environment | variables)
    return run


def cache_files(tmp_path):
    return list((tmp_path / "cache").rglob("*"))


def the_cache(tmp_path):
    (file,) = [path for path in cache_files(tmp_path) if path.is_file()]
    return file


def test_every_kind_of_memory_has_a_column(roofline):
    result = roofline(*TINY)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    header = next(line for line in lines if "footprint" in line and "best probe" in line)
    assert header.split()[:5] == ["threads", "footprint", "huge", "4k", "mapped"]
    large = next(line for line in lines if " MB " in line).split()
    assert large[0] == "1" and all(float(rate) > 0 for rate in large[3:6])
    small = next(line for line in lines if " kB " in line).split()
    assert float(small[3]) > 0 and small[4:6] == ["-", "-"]
    assert "1 thread on CPU " in result.stdout
    assert "likwid-bench: not installed" in lines
    for words in ("int8 dot products", "dot and unpacking", "byte lookups", "multiply-adds"):
        assert words in result.stdout


def test_it_is_kept_for_the_machine_until_fresh(roofline, tmp_path):
    first = json.loads(roofline(*TINY, "--json").stdout)
    assert first["from_cache"] is False
    file = the_cache(tmp_path)
    assert file.name == f"roofline-{first['machine_id']}.json"
    assert file.parent.name == "tritbench"
    again = json.loads(roofline(*TINY, "--json").stdout)
    assert again["from_cache"] is True
    assert again | {"from_cache": False} == first
    table = roofline(*TINY).stdout
    assert f"ago ({first['measured_utc']}), under: " in table
    assert "--fresh measures anew" in table
    # Another request, another CPU: not the one that is kept.
    other = json.loads(roofline(*TINY, "--memory", "4k", "--json").stdout)
    assert other["from_cache"] is False
    scalar = json.loads(roofline(*TINY, "--json", TRITBENCH_CPU="baseline").stdout)
    assert scalar["from_cache"] is False
    assert {c["probe"].split()[0] for c in scalar["ceilings"] if c["what"] == "int8_dot"} == {"scalar"}
    time.sleep(1.1)
    fresh = json.loads(roofline(*TINY, "--json", "--fresh").stdout)
    assert fresh["from_cache"] is False and fresh["measured_utc"] > first["measured_utc"]
    assert json.loads(roofline(*TINY, "--json").stdout) == fresh | {"from_cache": True}
    assert [path for path in cache_files(tmp_path) if path.is_file()] == [file]


def test_csv_holds_the_same(roofline):
    rates = json.loads(roofline(*TINY, "--json").stdout)
    result = roofline(*TINY, "--csv")
    assert "measured " in result.stderr
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert len(rows) == len(rates["ceilings"])
    for row, rate in zip(rows, rates["ceilings"]):
        assert row["machine_id"] == rates["machine_id"]
        assert row["measured_utc"] == rates["measured_utc"]
        column = "gb_per_s" if rate["unit"] == "GB/s" else "gmac_per_s"
        assert float(row[column]) == pytest.approx(rate["rate"], abs=1e-4)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1, "surveys": [7, {"key": 7}]}'])
def test_a_damaged_cache_is_ignored_and_mended(roofline, tmp_path, text):
    assert roofline(*TINY).returncode == 0
    file = the_cache(tmp_path)
    file.write_text(text)
    result = roofline(*TINY, "--json")
    assert result.returncode == 0
    assert json.loads(result.stdout)["from_cache"] is False
    if not text.endswith("]}"):
        assert f"{file}: is not a cache" in result.stderr
    assert json.loads(roofline(*TINY, "--json").stdout)["from_cache"] is True


def test_a_cache_that_cannot_be_written_withholds_nothing(roofline, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    result = roofline(*TINY, "--json")
    assert result.returncode == 0
    assert len(json.loads(result.stdout)["ceilings"]) > 4
    assert "not kept for the next time" in result.stderr
    # Without a place for it nothing is said and nothing kept.
    nowhere = roofline(*TINY, "--json", XDG_CACHE_HOME="", HOME="")
    assert nowhere.returncode == 0 and "kept" not in nowhere.stderr


def fake_likwid(tmp_path, script):
    program = tmp_path / "likwid-bench"
    program.write_text("#!/bin/sh\n" + script + "\n")
    program.chmod(0o755)


def test_likwid_bench_stands_beside_ours(roofline, tmp_path):
    fake_likwid(tmp_path, "echo 'Time: 1'; echo 'MByte/s: 12345.6'")
    rates = json.loads(roofline(*TINY, "--json").stdout)
    theirs = [c for c in rates["ceilings"] if c["what"] == "likwid_read"]
    assert [c["rate"] for c in theirs] == [pytest.approx(12.3456)] * 2
    assert all(c["probe"].startswith("likwid-bench load") for c in theirs)
    header, *lines = roofline(*TINY).stdout.split("best probe\n")
    assert header.split()[-1] == "likwid"
    assert all(line.split()[6] == "12.3" for line in lines[0].splitlines()[:2])


def test_a_likwid_bench_that_fails_is_one_line(roofline, tmp_path):
    fake_likwid(tmp_path, "echo unsupported CPU >&2; exit 1")
    rates = json.loads(roofline(*TINY, "--json").stdout)
    assert rates["notes"] == ["likwid-bench: it says: unsupported CPU"]
    assert {c["what"] for c in rates["ceilings"]} >= {"read", "int8_dot"}


@pytest.mark.parametrize("args, words", [
    (["--threads", "0"], ["--threads", "0 does not fit"]),
    (["--threads", "100000"], ["100000 does not fit"]),
    (["--footprint", "x"], ["--footprint", "'x'"]),
    (["--footprint", "0"], ["'0' is not a size"]),
    (["--memory", "tiny"], ["'tiny'", "mapped"]),
    (["--seconds", "0"], ["--seconds"]),
])
def test_bad_requests_are_one_line(roofline, tmp_path, args, words):
    result = roofline(*args)
    assert result.returncode == 2 and result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for word in words:
        assert word in result.stderr
    assert cache_files(tmp_path) == []


def test_left_to_itself_one_thread_and_all_have_every_kind(roofline):
    result = json.loads(roofline("--json", "--seconds", "6").stdout)
    kinds = {(c["threads"], c["memory"]) for c in result["ceilings"] if c["what"] == "read"}
    threads = {count for count, _ in kinds}
    assert min(threads) == 1 and max(threads) == len(os.sched_getaffinity(0))
    for count in (min(threads), max(threads)):
        assert {kind for number, kind in kinds if number == count} == {"huge", "4k", "mapped"}
        for what in ("int8_dot", "lookup", "float32_fma"):
            assert any(c["what"] == what and c["threads"] == count for c in result["ceilings"])
