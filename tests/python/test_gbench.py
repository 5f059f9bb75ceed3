"""tritbench_gbench from outside: Google Benchmark's flags, JSON and compare.py on our kernels."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMPARE_PLACES = ["/usr/share/benchmark/compare.py", "/usr/share/benchmark/tools/compare.py",
                  "/usr/lib/benchmark/compare.py"]


def run(*args, **options):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=300,
                          check=False, **options)


@pytest.fixture(scope="module")
def gbench(tritbench):
    path = Path(tritbench).with_name("tritbench_gbench")
    if not path.exists():
        pytest.skip("built without Google Benchmark (libbenchmark-dev)")
    return path


def compare_py():
    """compare.py of libbenchmark-tools, wherever the package has put it."""
    if shutil.which("dpkg"):
        listed = run("dpkg", "-L", "libbenchmark-tools").stdout.split()
        COMPARE_PLACES.extend(p for p in listed if p.endswith("/compare.py"))
    found = shutil.which("benchmark-compare") or shutil.which("compare.py")
    return next((p for p in [found, *COMPARE_PLACES] if p and Path(p).is_file()), None)


def test_it_lists_the_registry_times_the_shapes(tritbench, gbench):
    listed = run(gbench, "--benchmark_list_tests", "--tritbench_shapes=2560x2560,256x256",
                 "--tritbench_batch=1,2")
    assert listed.returncode == 0, listed.stderr
    names = [line.split("/") for line in listed.stdout.split()]
    kernels = json.loads(run(tritbench, "kernels", "--json").stdout)
    assert {n[0] for n in names} == {k["id"] for k in kernels if k["runs_here"]}
    assert {n[1] for n in names} == {"2560x2560", "256x256"}
    assert {tuple(n[2:]) for n in names} == {(f"batch:{m}", "threads:1", "hot", "real_time")
                                            for m in (1, 2)}
    assert len(listed.stdout.split()) == len(set(listed.stdout.split()))


@pytest.fixture(scope="module")
def results(gbench, tmp_path_factory):
    """Two runs of one product, as Google Benchmark writes them."""
    paths = []
    for name in ("a.json", "b.json"):
        path = tmp_path_factory.mktemp("gbench") / name
        done = run(gbench, "--tritbench_kernels=i2s_scalar,int8_scalar",
                   "--tritbench_shapes=256x256", "--benchmark_filter=^i2s_",
                   "--benchmark_min_time=0.01", "--benchmark_repetitions=2",
                   f"--benchmark_out={path}", "--benchmark_out_format=json")
        assert done.returncode == 0, done.stderr
        paths.append(path)
    return paths


def test_its_json_has_our_counters_and_the_machine(tritbench, results):
    told = json.loads(results[0].read_text())
    version = run(tritbench, "--version").stdout
    assert told["context"]["tritbench_version"] in version
    assert told["context"]["machine_id"]
    runs = [b for b in told["benchmarks"] if b["run_type"] == "iteration"]
    assert len(runs) == 2
    for one in runs:
        assert one["name"] == "i2s_scalar/256x256/batch:1/threads:1/hot/real_time"
        assert one["label"] == "i2s bitexact"
        assert one["time_unit"] == "ns" and one["real_time"] > 0
        assert one["GMAC/s"] == pytest.approx(256 * 256 / one["real_time"], rel=1e-3)
        assert 0 < one["GB/s"] < one["GMAC/s"]
    assert {b["aggregate_name"] for b in told["benchmarks"] if b["run_type"] == "aggregate"} >= {
        "mean", "median", "stddev"}


def test_compare_py_reads_them(results):
    tool = compare_py()
    if tool is None:
        pytest.skip("no compare.py here (libbenchmark-tools)")
    done = run(sys.executable, tool, "--no-color", "benchmarks", *results)
    if "No module named" in done.stderr:
        pytest.skip(f"compare.py lacks {done.stderr.split('No module named')[-1].strip()}")
    assert done.returncode == 0, done.stderr
    assert "i2s_scalar/256x256/batch:1/threads:1/hot/real_time" in done.stdout


@pytest.mark.parametrize("flag, words", [
    ("--tritbench_shape=8x8", ["did you mean 'shapes'?"]),
    ("--tritbench_shapes=8", ["--tritbench_shapes", "NxK"]),
    ("--tritbench_kernels=i3s_*", ["i3s_*"]),
    ("--tritbench_threads=4096", ["--tritbench_threads"]),
    ("--tritbench_tile=BM=7", ["BM"]),
])
def test_bad_flags_are_one_line_and_exit_2(gbench, flag, words):
    done = run(gbench, flag)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def test_unknown_flags_of_google_benchmark_are_refused_too(gbench):
    done = run(gbench, "--benchmark_no_such_thing")
    assert done.returncode == 2 and "benchmark_no_such_thing" in done.stderr


def test_help_names_both_kinds_of_flags(gbench):
    done = run(gbench, "--help")
    assert "--tritbench_shapes" in done.stdout and "--benchmark_filter" in done.stdout
