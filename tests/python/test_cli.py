"""The command line from outside: exit codes, one-line errors, result files."""

import csv
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios

import pandas
import pytest
from tritbench_plots.load import load

SPEC = """
name = "tiny"
[[kernel_cells]]
shapes = ["256x256", "128x384"]
kernels = ["i2s_scalar", "int8_scalar"]
batch = [1, 3]
threads = [1]
repetitions = 6
"""
CELLS = 8


def run(*args, cwd=None, **kwargs):
    return subprocess.run([str(a) for a in args], cwd=cwd, capture_output=True, text=True,
                          timeout=300, check=False, **kwargs)


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(SPEC)
    return path


def expect_refused(result, *words):
    """Exit code 2 and one line on stderr that holds the words."""
    assert result.returncode == 2, result
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0], lines[0]
    assert result.stdout == ""


def schema_columns(root):
    text = (root / "results" / "SCHEMA.md").read_text().split("## Columns")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


# ---- bad usage -----------------------------------------------------------------------------------

@pytest.mark.parametrize("args, words", [
    (["bench", "--kernel", "i3s_*"], ["i3s_*", "i2s_"]),
    (["bench", "--shape", "128x0"], ["--shape", "K = 0"]),
    (["bench", "--shape", "0x128"], ["--shape", "N = 0"]),
    (["bench", "--shape", "128"], ["NxK"]),
    (["bench", "--threads", "0"], ["--threads", "'0'"]),
    (["bench", "--threads", "-1"], ["--threads"]),
    (["bench", "--batch", "0"], ["--batch"]),
    (["bench", "--batch", "1,x"], ["--batch", "'x'"]),
    (["bench", "--cache", "warm"], ["--cache", "hot or cold"]),
    (["bench", "--tile", "BM=7", "--kernel", "i2s_scalar"], ["BM"]),
    (["bench", "--reps", "0"], ["--reps"]),
    (["bench", "--no-such-flag"], ["--no-such-flag"]),
    (["bench", "--timeout", "0"], ["--timeout"]),
    (["bench", "--csv", "/no/such/folder/x.csv"], ["/no/such/folder/x.csv", "cannot be written"]),
    (["bench", "--csv", "/proc/x.csv"], ["/proc/x.csv", "cannot be written"]),
    (["bench", "--csv", "results.txt"], ["results.txt", ".csv"]),
    (["sweep", "absent.toml"], ["absent.toml"]),
    (["sweep"], ["spec"]),
    (["e2e", "-m", "absent.gguf"], ["absent.gguf"]),
    (["e2e", "-m", "absent.gguf", "-p", "x"], ["-p", "'x'"]),
    (["e2e", "-m", "absent.gguf", "-p", "0", "-n", "0"], ["nothing to measure"]),
    (["e2e", "-m", "absent.gguf", "-t", "0"], ["-t", "'0'"]),
    (["e2e", "-m", "absent.gguf", "-pg", "128"], ["-pg", "'128'", "128,32"]),
    (["e2e", "-m", "absent.gguf", "-np", "0"], ["-np", "0 is not allowed"]),
    (["e2e", "-m", "absent.gguf", "-b", "x"], ["-b", "'x'"]),
    (["e2e", "-m", "absent.gguf", "--cache-type", "f8"], ["--cache-type", "f16 or f32"]),
    (["e2e", "-m", "absent.gguf", "--plan", "default", "-k", "i2s_*"], ["--plan", "--kernel"]),
    (["e2e"], ["-m"]),
    (["e2e", "-m", "absent.gguf", "--format", "t5r"], ["'t5r'", "llama-bench"]),
    (["bench", "--format", "llama-bench"], ["llama-bench", "no fields for single products"]),
    (["bench", "--format", "xml"], ["'xml'", "csv, json, jsonl, md, llama-bench"]),
    (["bench", "--json", "--format", "csv"], ["--json", "--format"]),
    (["bench", "--batch", "8..1"], ["--batch", "empty range"]),
    (["bench", "--shape", "2B-4X"], ["--shape", "did you mean '2B-4T'?"]),
    (["sweep", "--list"], ["experiments", "--experiments-folder"]),
    (["kernels", "zzz*"], ["zzz*"]),
    (["nonsense"], ["unknown command", "nonsense"]),
    ([], ["subcommand"]),
])
def test_bad_usage_is_one_line_and_exit_2(tritbench, tmp_path, args, words):
    expect_refused(run(tritbench, *args, cwd=tmp_path), *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("broken, words", [
    (SPEC.replace("threads", "thraeds"), ["tiny.toml:7", "'thraeds'", "'threads'"]),
    (SPEC.replace("i2s_scalar", "i2s_scaler"), ["tiny.toml:5", "i2s_scaler"]),
    (SPEC.replace("256x256", "256x0"), ["tiny.toml:4", "K = 0"]),
    (SPEC.replace("[1]", "0"), ["tiny.toml:7", "'0'"]),
    (SPEC + "[[", ["tiny.toml:9", "not TOML"]),
])
def test_a_bad_spec_names_its_line_and_writes_nothing(tritbench, spec, broken, words):
    spec.write_text(broken)
    expect_refused(run(tritbench, "sweep", spec, "-o", "out.csv", cwd=spec.parent), *words)
    assert [p.name for p in spec.parent.iterdir()] == ["tiny.toml"]


def test_an_unwritable_folder_is_refused_before_measuring(tritbench, spec):
    if os.geteuid() == 0:
        target = "/proc/1/out.csv"  # not even root may create a file there
    else:
        folder = spec.parent / "locked"
        folder.mkdir(mode=0o500)
        target = folder / "out.csv"
    result = run(tritbench, "sweep", spec, "-o", target)
    expect_refused(result, "cannot be written")
    assert "proving" not in result.stderr


def test_a_foreign_file_is_left_alone(tritbench, spec):
    out = spec.parent / "out.csv"
    out.write_text("a,b\n1,2\n")
    expect_refused(run(tritbench, "sweep", spec, "-o", out), "not a result file")
    expect_refused(run(tritbench, "sweep", spec, "-o", out, "--fresh"), "not a result file")
    assert out.read_text() == "a,b\n1,2\n"


# ---- kernels ---------------------------------------------------------------------------------------

def test_kernels_lists_the_registry_in_three_ways(tritbench):
    listed = json.loads(run(tritbench, "kernels", "--json").stdout)
    ids = [k["id"] for k in listed]
    assert {"i2s_scalar", "int8_scalar", "f16_scalar"} <= set(ids)
    assert len(set(ids)) == len(ids)
    scalar = next(k for k in listed if k["id"] == "i2s_scalar")
    assert scalar["runs_here"] and scalar["bits_per_weight"] == 2.0
    assert scalar["exactness"] == "exact"
    rows = list(csv.DictReader(run(tritbench, "kernels", "--csv").stdout.splitlines()))
    assert [r["id"] for r in rows] == ids
    table = run(tritbench, "kernels").stdout
    assert all(i in table for i in ids)


def test_what_tritbench_cpu_takes_away_is_listed_with_its_reason(tritbench):
    env = dict(os.environ, TRITBENCH_CPU="baseline")
    listed = json.loads(run(tritbench, "kernels", "--json", env=env).stdout)
    for kernel in listed:
        assert kernel["runs_here"] == (kernel["isa"] in ("scalar", "neon")), kernel
        assert kernel["runs_here"] or kernel["why_not"]


# ---- a sweep and its files ----------------------------------------------------------------------------

def test_a_sweep_writes_rows_that_pandas_reads(tritbench, spec, root):
    out = spec.parent / "out.csv"
    result = run(tritbench, "sweep", spec, "-o", out)
    assert result.returncode == 0, result.stderr
    assert str(out) in result.stderr
    frame = pandas.read_csv(out)
    assert list(frame.columns) == schema_columns(root)
    assert len(frame) == CELLS
    assert frame["cell_key"].nunique() == CELLS
    assert (frame["status"] == "ok").all()
    assert (frame["verified"] == "bitexact").all()
    assert (frame["spec"] == "tiny").all()
    assert frame["run_id"].nunique() == 1
    assert (frame["median_ns"] > 0).all()
    assert (frame["min_ns"] <= frame["median_ns"]).all()
    assert (frame["ci95_lo_ns"] <= frame["median_ns"]).all()
    assert (frame["median_ns"] <= frame["ci95_hi_ns"]).all()
    # Empty means unknown: a gemm has no share of the read bandwidth, a kernel no tokens/s.
    assert frame["tokens_per_s"].isna().all()
    assert frame.loc[frame["phase"] == "gemm", "pct_of_ceiling"].isna().all()
    assert frame.loc[frame["phase"] == "gemv", "pct_of_ceiling"].notna().all()
    macs = frame["n"] * frame["k"] * frame["batch"]
    assert ((macs / frame["median_ns"] - frame["gmac_per_s"]).abs() < 0.01 * frame["gmac_per_s"]
            + 0.001).all()

    samples = [json.loads(line) for line in out.with_suffix(".samples.jsonl").open()]
    assert [s["cell_key"] for s in samples] == list(frame["cell_key"])
    medians = frame.set_index("cell_key")["median_ns"]
    for sample in samples:
        assert len(sample["samples_ns"]) == 6
        median = pandas.Series(sample["samples_ns"]).median()
        assert abs(median - medians[sample["cell_key"]]) <= 0.06
    card = json.loads(out.with_suffix(".machine.json").read_text())
    assert card["machine_id"] == frame["machine_id"][0]
    assert json.loads(out.with_suffix(".state.json").read_text())["complete"] is True

    before = out.read_bytes()
    expect_refused(run(tritbench, "sweep", spec, "-o", out), "is complete", "--fresh")
    assert out.read_bytes() == before


def test_fresh_keeps_the_old_rows_aside(tritbench, spec):
    spec.write_text(SPEC.replace("[1, 3]", "[1]").replace(', "128x384"', ""))
    out = spec.parent / "out.csv"
    assert run(tritbench, "sweep", spec, "-o", out).returncode == 0
    before = out.read_bytes()
    result = run(tritbench, "sweep", spec, "-o", out, "--fresh")
    assert result.returncode == 0, result.stderr
    aside = [p for p in out.parent.glob("out.*.csv")]
    assert len(aside) == 1 and aside[0].read_bytes() == before
    assert out.read_bytes() != before


def test_dry_run_prints_cells_and_writes_nothing(tritbench, spec):
    result = run(tritbench, "sweep", spec, "--dry-run", cwd=spec.parent)
    assert result.returncode == 0
    assert f"{CELLS} cells" in result.stdout
    assert "i2s_scalar 256x256 batch 1, 1 thread, hot" in result.stdout
    assert [p.name for p in spec.parent.iterdir()] == ["tiny.toml"]


def test_list_prints_the_keys_of_the_cells(tritbench, spec):
    result = run(tritbench, "sweep", spec, "--list", cwd=spec.parent)
    assert result.returncode == 0, result.stderr
    *cells, last = result.stdout.splitlines()
    keys = [c.split()[0] for c in cells]
    assert len(set(keys)) == CELLS and all(re.fullmatch("[0-9a-f]{16}", k) for k in keys)
    assert last == f"{CELLS} cells, run here: all"
    out = spec.parent / "out.csv"
    assert run(tritbench, "sweep", spec, "-o", out, "-q").returncode == 0
    assert set(pandas.read_csv(out)["cell_key"]) == set(keys)


def test_list_without_a_spec_shows_the_experiments(tritbench, root, tmp_path):
    listed = run(tritbench, "sweep", "--list", "--experiments-folder", root / "experiments",
                 cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    for path in (root / "experiments").glob("*.toml"):
        line = next(row for row in listed.stdout.splitlines() if row.startswith(path.name + " "))
        assert int(re.search(r" (\d+) ", line).group(1)) > 0, line
    (tmp_path / "bad.toml").write_text("nme = 1\n")
    listed = run(tritbench, "sweep", "--list", "--experiments-folder", tmp_path)
    assert listed.returncode == 0 and "did you mean 'name'?" in listed.stdout


def test_nothing_left_is_said(tritbench, spec):
    spec.write_text(SPEC + "exclude = {isa = \"scalar\"}\n")
    expect_refused(run(tritbench, "sweep", spec, "-o", spec.parent / "out.csv"), "no cell is left")
    assert [p.name for p in spec.parent.iterdir()] == ["tiny.toml"]


def test_a_sweep_prints_its_rows_in_every_format(tritbench, spec, root):
    out = spec.parent / "out.csv"
    command = [tritbench, "sweep", spec, "-o", out, "-q", "--fresh", "--format"]
    printed = run(*command, "csv").stdout
    assert printed == out.read_text()
    columns = set(schema_columns(root))
    rows = [json.loads(line) for line in run(*command, "jsonl").stdout.splitlines()]
    assert len(rows) == CELLS
    written = pandas.read_csv(out)
    for row, (_, told) in zip(rows, written.iterrows()):
        # What is known, and nothing else.
        assert set(row) == {c for c in columns if not pandas.isna(told[c])}
        assert row["cell_key"] == told["cell_key"] and row["median_ns"] == told["median_ns"]
    table = run(*command, "md").stdout.splitlines()
    assert len(table) == 2 + CELLS and all(line.startswith("|") for line in table)
    before = out.read_bytes()
    expect_refused(run(*command, "llama-bench"), "no fields for single products")
    assert out.read_bytes() == before


def test_the_bar_shows_what_is_left_the_cell_and_the_best_so_far(tritbench, spec):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    process = subprocess.Popen([tritbench, "sweep", str(spec), "-o", str(spec.parent / "out.csv")],
                               stderr=slave, stdout=subprocess.DEVNULL,
                               env=dict(os.environ, TERM="xterm"))
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    assert process.wait(timeout=60) == 0
    os.close(master)
    bar = shown.decode().split("\r")
    assert any(re.match(r"tiny: \[#*\.*\] \d+/\d+ \d+%, \S+ left", line) for line in bar), bar
    assert any("proving i2s_scalar" in line for line in bar)
    best = r"left  \S+ \d+x\d+ batch \d.*; best i(nt8|2s)_scalar \d+\.\d+ us \(256x256 batch 1, 1 thread, hot\)"
    assert any(re.search(best, line) for line in bar), bar
    plain = run(tritbench, "sweep", spec, "-o", spec.parent / "plain.csv").stderr
    assert "\r" not in plain and "[" not in plain and "8 rows" in plain


def test_bench_prints_rows_and_says_what_cannot_run(tritbench, tmp_path):
    result = run(tritbench, "bench", "-k", "i2s_scalar", "-s", "128x128", "-t", "1,1024", "-r", "6",
                 "--json", "-q", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    ok, unavailable = sorted(json.loads(result.stdout), key=lambda row: row["threads"])
    assert ok["status"] == "ok" and ok["verified"] == "bitexact" and ok["median_ns"] > 0
    assert unavailable["status"] == "unavailable"
    assert "asks 1024 threads" in unavailable["reason"]
    assert "median_ns" not in unavailable
    assert list(tmp_path.iterdir()) == []


def test_e2e_measures_a_model_in_every_format(tritbench, tmp_path):
    model = tmp_path / "tiny.gguf"
    made = run(tritbench, "gen", "--preset", "125M", "--layers", "2", "-o", model)
    assert made.returncode == 0, made.stderr
    common = ["e2e", "-m", model, "-p", "4", "-n", "3", "-t", "1", "-r", "1",
              "--kernel", "i2s_scalar", "-q"]
    rows = json.loads(run(tritbench, *common, "-o", "json").stdout)
    assert [r["phase"] for r in rows] == ["prefill", "decode"]
    assert all(r["status"] == "ok" and r["verified"] == "bitexact" for r in rows)
    assert all(r["tokens_per_s"] > 0 and len(r["logits_hash"]) == 16 for r in rows)
    assert "ci95_lo_ns" not in rows[0]  # one sample has no interval
    again = run(tritbench, *common, "-o", "jsonl").stdout.splitlines()
    assert [json.loads(r)["logits_hash"] for r in again] == [r["logits_hash"] for r in rows]
    table = run(tritbench, *common).stdout
    assert "pp4" in table and "tg3" in table

    def head(text):  # columns are as wide as the times of a run are long
        return [re.sub("-+", "-", re.sub(" +", " ", line)) for line in text.splitlines()[:2]]
    assert head(run(tritbench, *common, "--format", "md").stdout) == head(table)
    alone = json.loads(run(tritbench, *common, "--format", "llama-bench").stdout)
    assert [(r["n_prompt"], r["n_gen"]) for r in alone] == [(4, 0), (0, 3)]
    for r in alone:
        assert set(r) == LLAMA_BENCH | LLAMA_BENCH_CHECKED | {"n_ubatch", "build_number", "devices",
                                                              "no_op_offload"}
        assert r["backends"] == "tritbench i2s_scalar" and r["avg_ts"] > 0


# Those that scripts around llama-bench read.
LLAMA_BENCH = {"build_commit", "cpu_info", "model_filename", "model_type", "model_size",
               "model_n_params", "n_batch", "n_threads", "type_k", "type_v", "n_prompt", "n_gen",
               "n_depth", "test_time", "avg_ns", "stddev_ns", "avg_ts", "stddev_ts", "samples_ns",
               "samples_ts"}


# Those besides that llama.cpp's comparison of results looks for before it reads any.
LLAMA_BENCH_CHECKED = {"gpu_info", "backends", "n_gpu_layers", "tensor_buft_overrides", "n_ubatch",
                       "embeddings", "cpu_mask", "cpu_strict", "poll", "use_mmap", "no_kv_offload",
                       "split_mode", "main_gpu", "tensor_split", "flash_attn"}


def test_e2e_has_the_fields_of_llama_bench_and_every_flag(tritbench, tmp_path):
    model = tmp_path / "tiny.gguf"
    made = run(tritbench, "gen", "--preset", "125M", "--layers", "2", "-o", model)
    assert made.returncode == 0, made.stderr
    csv = tmp_path / "r.csv"
    command = ["e2e", "-m", model, "-p", "6", "-n", "2", "-pg", "4,3", "-d", "1", "-t", "1", "-r",
               "2", "-b", "4", "-np", "1,2", "--cache-type", "f16,f32", "--head", "stored,q8_row",
               "-q", "-o", "json", "--csv", csv]
    result = run(tritbench, *command)
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    tests = [(r["n_prompt"], r["n_gen"], r["sequences"], r["type_k"], r["head_type"]) for r in rows]
    assert len(tests) == 16 and len(set(tests)) == 16
    assert {t[:3] for t in tests} == {(6, 0, 1), (0, 2, 1), (0, 2, 2), (4, 3, 1)}
    assert {t[3:] for t in tests} == {(c, h) for c in ("f16", "f32") for h in ("f16", "q8_row")}
    for r in rows:
        assert LLAMA_BENCH <= r.keys() and r["plan"] == "default" and r["n_depth"] == 1
        assert r["verified"] == "bitexact" and r["status"] == "ok"
        assert r["model_filename"] == str(model) and r["model_n_params"] > 1e6
        assert r["n_batch"] == (512 if r["n_prompt"] == 0 else 4)
        assert len(r["samples_ns"]) == len(r["samples_ts"]) == 2
        tokens = r["n_prompt"] + r["n_gen"] * r["sequences"]
        assert r["samples_ts"][0] == pytest.approx(tokens * 1e9 / r["samples_ns"][0], rel=1e-6)
        assert r["avg_ns"] == pytest.approx(sum(r["samples_ns"]) / 2, abs=1)
        assert r["role_product_ns"] > 0 and 0 < r["pct_outside_products"] < 100
    # The same file is read by the plots, and is not run again.
    frame = load([csv])
    assert len(frame) == 16 and set(frame["runner"]) == {"plan default"}
    assert "complete" in run(tritbench, *command).stderr
