"""--precision, --budget and --no-control of bench, e2e and sweep; the study of coverage."""

import csv
import json
import subprocess

import pytest


def run(tritbench, *arguments, cwd):
    return subprocess.run([tritbench, *map(str, arguments)], cwd=cwd, capture_output=True,
                          text=True, timeout=120)


BENCH = ("bench", "-k", "i2s_scalar", "-s", "64x128")


def test_bench_ends_by_precision_and_says_the_limit_of_its_control(tritbench, tmp_path):
    done = run(tritbench, *BENCH, "--precision", "50%", "--csv", "r.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "for a precision of 50%" in done.stderr
    assert "A/A control: one cell measured twice" in done.stdout
    (row,) = csv.DictReader(open(tmp_path / "r.csv"))
    assert row["stop_reason"] == "precision" and float(row["ci95_pct"]) <= 50
    assert row["control"].startswith("i2s_scalar 64x128") and float(row["control_ratio"]) == 1
    limit = max(abs(float(row[c]) - 1) for c in ("aa_ratio_lo", "aa_ratio_hi"))
    assert float(row["aa_limit_pct"]) == pytest.approx(100 * limit, abs=0.002)
    (samples,) = map(json.loads, open(tmp_path / "r.samples.jsonl"))
    assert len(samples["samples_ns"]) == int(row["repetitions"])


def test_without_control_its_columns_are_empty(tritbench, tmp_path):
    done = run(tritbench, *BENCH, "--no-control", "--json", cwd=tmp_path)
    (row,) = json.loads(done.stdout)
    assert row["stop_reason"] == "repetitions" and row["repetitions"] == 10
    assert not {"control", "control_ratio", "aa_limit_pct"} & set(row)


def test_a_sweep_prints_its_plan_and_ends_with_its_budget(tritbench, tmp_path):
    (tmp_path / "s.toml").write_text('''precision = "1%"
budget = "20m"
[[kernel_cells]]
shapes = ["64x128"]
kernels = ["i2s_scalar", "int8_scalar"]
''')
    dry = run(tritbench, "sweep", "s.toml", "--dry-run", cwd=tmp_path)
    assert "2 cells in 1 block, each with an A/A control" in dry.stdout
    assert "for a precision of 1%" in dry.stdout and "ends after 20m" in dry.stdout
    assert not (tmp_path / "s.csv").exists()
    # The flag overrules the key; a budget that is spent at once leaves a round.
    done = run(tritbench, "sweep", "s.toml", "--budget", "0.001s", "-o", "s.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(open(tmp_path / "s.csv")))
    assert [(r["stop_reason"], r["repetitions"]) for r in rows] == [("budget", "1")] * 2
    # Asked otherwise it is another run.
    other = run(tritbench, "sweep", "s.toml", "--budget", "1h", "-o", "s.csv", cwd=tmp_path)
    assert other.returncode == 2 and "s.csv" in other.stderr


@pytest.mark.parametrize("flags, expected", [
    (["--precision", "1"], "--precision '1': expected percent above 0 and up to 50, such as 1%"),
    (["--precision", "60%"], "expected percent above 0"),
    (["--budget", "soon"], "--budget 'soon': expected a time such as 90s"),
])
def test_what_is_no_precision_or_budget_is_one_line(tritbench, tmp_path, flags, expected):
    done = run(tritbench, *BENCH, *flags, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and expected in done.stderr


def test_the_study_is_the_same_everywhere(tritbench, tmp_path):
    first, second = (run(tritbench, "coverage", "--trials", "3", cwd=tmp_path) for _ in range(2))
    assert first.returncode == 0 and first.stdout == second.stdout
    rows = list(csv.DictReader(first.stdout.splitlines()))
    assert len(rows) == 7 * 7
    assert {r["schedule"] for r in rows} == {"interleaved", "one_by_one"}
    assert "coverage" not in run(tritbench, "--help", cwd=tmp_path).stdout


def test_the_study_runs_on_this_machine(tritbench, tmp_path):
    done = run(tritbench, "coverage", "--real", "1s", "-k", "i2s_scalar", "-s", "64x128", "-r", "6",
               cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert row["noise"] == "real" and int(row["trials"]) >= 1
    assert float(row["mean_repetitions"]) == 6
