"""tritbench_plots on small files written here, so that every figure can be worked out by hand."""

import csv
import math
import struct
import subprocess
import sys
import zlib

import pytest

from tritbench_plots import tables
from tritbench_plots.cli import main
from tritbench_plots.load import LATER_COLUMNS, LoadError, load, load_file, proved
from tritbench_plots.order import split_id

COLUMNS = """schema_version run_id utc git_revision git_dirty compiler flags machine_id cpu isa_path
spec cell_key level kernel layout object_hash exactness bits_per_weight tile n k batch model
model_file_bytes phase depth_tokens threads pins cache_mode warmups repetitions
calls_per_repetition median_ns mad_ns ci95_lo_ns ci95_hi_ns min_ns prepare_median_ns tokens_per_s
gmac_per_s bytes footprint_bytes gb_per_s ceiling_gb_per_s ceiling_probe pct_of_ceiling
peak_rss_bytes logits_hash verified noise status reason""".split()

COMMON = {
    "schema_version": 1, "run_id": "r1", "utc": "2026-11-20T10:00:00Z", "git_revision": "abc123",
    "git_dirty": "false", "machine_id": "m-1", "cpu": "Test CPU", "spec": "unit", "status": "ok",
    "verified": "bitexact", "ceiling_gb_per_s": 20, "warmups": 1, "repetitions": 5,
}


def e2e(kernel, phase, tokens_per_s, threads=1, model="125M", **other):
    """A row of a whole model; times follow from tokens/s with a 95% interval of 10% either way."""
    tokens = 128 if phase == "prefill" else 1
    ns = tokens / tokens_per_s * 1e9
    row = dict(COMMON, level="e2e", kernel=kernel, layout=kernel.split("_")[0], model=model,
               model_file_bytes={"125M": 10**8, "2B-4T": 10**9}.get(model, ""), phase=phase,
               threads=threads, tokens_per_s=tokens_per_s, median_ns=ns, ci95_lo_ns=ns * 0.9,
               ci95_hi_ns=ns * 1.1, min_ns=ns * 0.9, bits_per_weight=2)
    if phase == "prefill":
        row.update(batch=128)
    else:
        row.update(batch=1, depth_tokens=0, gb_per_s=tokens_per_s / 10,
                   pct_of_ceiling=tokens_per_s / 10 / 20 * 100)
    row.update(other)
    return row


def product(kernel, cache_mode, median_ns, phase="gemv", **other):
    row = dict(COMMON, level="kernel", kernel=kernel, layout=kernel.split("_")[0], n=256, k=512,
               batch=1 if phase == "gemv" else 32, phase=phase, threads=1, cache_mode=cache_mode,
               median_ns=median_ns, ci95_lo_ns=median_ns * 0.95, ci95_hi_ns=median_ns * 1.05,
               gb_per_s=32768 / median_ns, gmac_per_s=131072 / median_ns)
    row.update(other)
    return row


@pytest.fixture
def write(tmp_path):
    def writer(rows, name="results.csv", columns=COLUMNS):
        path = tmp_path / name
        with open(path, "w", newline="") as out:
            file = csv.DictWriter(out, columns, restval="")
            file.writeheader()
            file.writerows(rows)
        return path
    return writer


FULL = [
    e2e("f16_avx2", "prefill", 10), e2e("f16_avx2", "decode", 4),
    e2e("f16_avx512", "prefill", 20), e2e("f16_avx512", "decode", 5),
    e2e("int8_avx2", "prefill", 50), e2e("int8_avx2", "decode", 8),
    e2e("i2s_avx2", "prefill", 100), e2e("i2s_avx2", "decode", 30),
    e2e("i2s_avx2", "prefill", 190, threads=2), e2e("i2s_avx2", "decode", 58, threads=2),
    e2e("int8_avx2", "decode", 16, threads=2),
]


def line(table, kernel, threads=1, model="125M"):
    rows = table[(table["kernel"] == kernel) & (table["threads"] == threads)
                 & (table["model"] == model)]
    assert len(rows) == 1, f"{len(rows)} lines of {kernel}, {threads} threads"
    return rows.iloc[0]


# ---- speed-ups -----------------------------------------------------------------------------------

def test_speedups_are_over_the_fastest_kernel_of_the_baseline_layout(write):
    table = tables.speedup_table(load([write(FULL)]))
    row = line(table, "i2s_avx2")
    assert row["prefill_over_f16"] == pytest.approx(5.0)   # 100 / 20
    assert row["decode_over_f16"] == pytest.approx(6.0)    # 30 / 5
    assert row["prefill_over_int8"] == pytest.approx(2.0)  # 100 / 50
    assert row["decode_over_int8"] == pytest.approx(3.75)  # 30 / 8
    assert line(table, "f16_avx512")["decode_over_f16"] == pytest.approx(1.0)
    assert line(table, "f16_avx2")["decode_over_f16"] == pytest.approx(0.8)
    assert row["decode_gb_per_s"] == pytest.approx(3.0)
    assert row["decode_pct_of_ceiling"] == pytest.approx(15.0)


def test_absent_baseline_is_unknown_not_zero(write):
    path = write(FULL)
    row = line(tables.speedup_table(load([path])), "i2s_avx2", threads=2)
    assert math.isnan(row["decode_over_f16"])      # no f16 with 2 threads
    assert math.isnan(row["prefill_over_int8"])    # int8 with 2 threads was only decoded
    assert row["decode_over_int8"] == pytest.approx(58 / 16)
    cells = tables.speedup_cells(tables.speedup_table(load([path])))
    two = [i for i, t in enumerate(cells["threads"]) if t == "2"]
    assert {cells["decode x f16"][i] for i in two} == {""}


def test_baselines_never_cross_models_machines_or_prompt_lengths(write):
    one = write([e2e("f16_avx2", "decode", 5), e2e("f16_avx2", "prefill", 10)], "a.csv")
    two = write([e2e("i2s_avx2", "decode", 30, model="2B-4T"),
                 e2e("i2s_avx2", "decode", 30, machine_id="m-2"),
                 e2e("f16_avx2", "prefill", 9, batch=512, machine_id="m-2"),
                 e2e("i2s_avx2", "prefill", 90, machine_id="m-2")], "b.csv")
    table = tables.speedup_table(load([one, two]))
    i2s = table[table["kernel"] == "i2s_avx2"]
    assert len(i2s) == 2
    assert i2s["decode_over_f16"].isna().all()
    assert i2s["prefill_over_f16"].isna().all()
    assert "machine" in tables.speedup_cells(table)


def test_baselines_come_from_the_same_file(write):
    slow = write([e2e("f16_avx2", "decode", 5), e2e("i2s_avx2", "decode", 10)], "slow.csv")
    fast = write([e2e("f16_avx2", "decode", 10), e2e("i2s_avx2", "decode", 20)], "fast.csv")
    table = tables.speedup_table(load([slow, fast]))
    assert list(table[table["kernel"] == "i2s_avx2"]["decode_over_f16"]) == [2.0, 2.0]


def test_a_test_that_the_fastest_baseline_did_not_take_has_no_baseline(write):
    rows = [e2e("f16_scalar", "prefill", 1, batch=4), e2e("i2s_scalar", "prefill", 19, batch=4),
            e2e("f16_avx2", "prefill", 100, batch=64), e2e("i2s_avx2", "prefill", 150, batch=64)]
    table = tables.speedup_table(load([write(rows)]))
    assert math.isnan(line(table, "i2s_scalar")["prefill_over_f16"])
    assert math.isnan(line(table, "f16_scalar")["prefill_over_f16"])
    assert line(table, "i2s_avx2")["prefill_over_f16"] == pytest.approx(1.5)


def test_order_is_small_models_first_and_baselines_first(write):
    rows = [e2e(k, "decode", 5, model=m) for m in ("2B-4T", "125M")
            for k in ("zeta_new", "i2s_avx512vnni", "i2s_scalar", "int8_avx2", "f16_scalar")]
    table = tables.speedup_table(load([write(rows)]))
    kernels = ["f16_scalar", "int8_avx2", "i2s_scalar", "i2s_avx512vnni", "zeta_new"]
    assert list(zip(table["model"], table["kernel"])) == [
        (m, k) for m in ("125M", "2B-4T") for k in kernels]


def test_several_prompt_lengths_each_appear_once(write):
    rows = [e2e("i2s_avx2", "prefill", 100), e2e("i2s_avx2", "prefill", 120, batch=512),
            e2e("i2s_avx2", "decode", 30)]
    table = tables.speedup_table(load([write(rows)]))
    assert list(table["prefill_tokens_per_s"]) == [100, 120]
    assert list(table["prefill_test"]) == [128, 512]
    assert table["decode_tokens_per_s"].notna().sum() == 1


# ---- what may not enter --------------------------------------------------------------------------

@pytest.mark.parametrize("spoiled", [
    {"verified": "no"}, {"verified": ""}, {"status": "failed", "reason": "wrong sums"},
    {"status": "crashed"}, {"status": "unavailable"}, {"status": "timeout"}, {"status": "error"},
    {"median_ns": ""},
])
def test_unproved_rows_never_enter_a_table(write, spoiled):
    rows = [e2e("f16_avx2", "decode", 5), e2e("i2s_avx2", "decode", 999, **spoiled)]
    frame = load([write(rows)])
    assert list(proved(frame)["kernel"]) == ["f16_avx2"]
    assert list(tables.speedup_table(frame)["kernel"]) == ["f16_avx2"]
    assert "i2s_avx2" in "\n".join(tables.excluded_lines(frame))


def test_an_unproved_baseline_is_no_baseline(write):
    rows = [e2e("f16_avx2", "decode", 5, verified="no"), e2e("i2s_avx2", "decode", 30)]
    row = line(tables.speedup_table(load([write(rows)])), "i2s_avx2")
    assert math.isnan(row["decode_over_f16"])


def test_bounded_proof_is_a_proof_and_is_shown(write):
    frame = load([write([e2e("f16_avx2", "decode", 5, verified="bounded")])])
    assert line(tables.speedup_table(frame), "f16_avx2")["proof"] == "bounded"


def test_the_last_row_of_a_cell_counts(write):
    rows = [e2e("i2s_avx2", "decode", 30), e2e("i2s_avx2", "decode", 40)]
    assert list(tables.speedup_table(load([write(rows)]))["decode_tokens_per_s"]) == [40]
    rows.append(e2e("i2s_avx2", "decode", 50, status="failed", verified="no", reason="wrong"))
    assert tables.speedup_table(load([write(rows)])).empty


def test_noise_marks_are_counted(write):
    rows = [e2e("i2s_avx2", "decode", 30, noise="steal load"), e2e("f16_avx2", "decode", 5,
                                                                  noise="steal")]
    assert "load 1, steal 2" in tables.noise_line(load([write(rows)]))


# ---- bare products -------------------------------------------------------------------------------

def test_kernel_table_puts_hot_beside_cold(write):
    rows = [product("i2s_avx2", "hot", 1000), product("i2s_avx2", "cold", 4000),
            product("new_kernel", "hot", 500)]
    table = tables.kernel_table(load([write(rows)]))
    assert list(table["kernel"]) == ["i2s_avx2", "new_kernel"]
    assert table.loc[0, "hot_us"] == pytest.approx(1.0)
    assert table.loc[0, "cold_us"] == pytest.approx(4.0)
    assert table.loc[0, "hot_gb_per_s"] == pytest.approx(32.768)
    assert math.isnan(table.loc[1, "cold_us"])
    cells = tables.kernel_cells(table)
    assert cells["cold us"] == ["4.00", ""]


# ---- rendering -----------------------------------------------------------------------------------

def test_text_table_is_aligned_and_markdown_is_well_formed(write, capsys):
    path = str(write(FULL))
    assert main(["table", path]) == 0
    text = capsys.readouterr().out
    assert "6.00x" in text and "the fastest naive int8" in " ".join(text.split())
    assert main(["table", path, "--markdown"]) == 0
    lines = [row for row in capsys.readouterr().out.splitlines() if row.startswith("|")]
    assert len(lines) == 2 + 6
    assert {row.count("|") for row in lines} == {lines[0].count("|")}


@pytest.mark.parametrize("value, text", [
    (0.0, "0.00"), (9.996, "10.0"), (99.96, "100"), (1234.5, "1234"), (1.2345, "1.23"),
    (0.03456, "0.0346"), (float("nan"), ""),
])
def test_figures_have_three_significant_digits(value, text):
    assert tables.significant(value) == text


def test_csv_output_keeps_full_precision(write, capsys):
    assert main(["table", str(write(FULL)), "--csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    best = [r for r in rows if r["kernel"] == "i2s_avx2" and r["threads"] == "1.0"]
    assert float(best[0]["decode_over_int8"]) == 3.75
    absent = [r for r in rows if r["kernel"] == "i2s_avx2" and r["threads"] == "2.0"]
    assert absent[0]["decode_over_f16"] == ""


def test_nothing_proved_is_said_with_exit_code_1(write, tmp_path, capsys):
    path = str(write([e2e("i2s_avx2", "decode", 30, verified="no")]))
    assert main(["table", path]) == 1
    assert main(["figures", path, "-o", str(tmp_path / "out")]) == 1
    assert "no proved row" in capsys.readouterr().err


# ---- bad input -----------------------------------------------------------------------------------

def one_line_error(capsys, arguments):
    code = main(arguments)
    error = capsys.readouterr().err
    assert code == 2
    assert error.count("\n") == 1 and error.startswith("tritbench_plots: ")
    return error


def test_bad_files_are_one_line_and_exit_code_2(write, tmp_path, capsys):
    assert "no such file" in one_line_error(capsys, ["table", str(tmp_path / "absent.csv")])
    (tmp_path / "empty.csv").write_text("")
    assert "is empty" in one_line_error(capsys, ["table", str(tmp_path / "empty.csv")])
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    assert "text file" in one_line_error(capsys, ["table", str(tmp_path / "binary.csv")])
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert "schema_version" in one_line_error(capsys, ["table", str(tmp_path / "other.csv")])
    assert "no rows" in one_line_error(capsys, ["table", str(write([]))])
    assert "cannot be read" in one_line_error(capsys, ["table", str(tmp_path)])


@pytest.mark.parametrize("change, expected", [
    ({"schema_version": 99}, "schema_version is '99'"),
    ({"median_ns": "fast"}, "column median_ns: found 'fast'"),
    ({"gb_per_s": "inf"}, "column gb_per_s: found 'inf'"),
    ({"status": "fine"}, "column status: found 'fine'"),
    ({"verified": "yes"}, "column verified: found 'yes'"),
    ({"level": "e3e"}, "column level: found 'e3e'"),
])
def test_bad_cells_name_line_and_column(write, change, expected):
    path = write([e2e("f16_avx2", "decode", 5), e2e("i2s_avx2", "decode", 5, **change)])
    with pytest.raises(LoadError) as problem:
        load_file(path)
    assert f"{path}: line 3: " in str(problem.value) and expected in str(problem.value)


# ---- version 3 -----------------------------------------------------------------------------------

COLUMNS_3 = [*COLUMNS, *LATER_COLUMNS[3]]
COLUMNS_4 = [*COLUMNS_3, *LATER_COLUMNS[4]]
COLUMNS_5 = [*COLUMNS_4, *LATER_COLUMNS[5]]


def planned(plan, kernel, phase, tokens_per_s, **other):
    row = dict(schema_version=3, plan=plan, head_type="q6_k", cache_type="f16", sequences=1,
               prefill_batch=512)
    return e2e(kernel, phase, tokens_per_s, **dict(row, **other))


def test_versions_stand_in_one_table(write):
    old = write([e2e("i2s_avx2", "decode", 30)], "old.csv")
    new = write([planned("default", "mixed", "decode", 40),
                 planned("default", "i2r_avx2", "prefill", 200),
                 planned("i2s_avx2", "i2s_avx2", "decode", 30)], "new.csv", COLUMNS_3)
    table = tables.speedup_table(load([old, new]))
    assert sorted(table["kernel"]) == ["i2s_avx2", "i2s_avx2", "plan default"]
    # Prefill and decode of a plan are one line, whatever kernels it chose.
    line = table[table["kernel"] == "plan default"].iloc[0]
    assert (line["prefill_tokens_per_s"], line["decode_tokens_per_s"]) == (200, 40)


def test_speedups_compare_like_with_like(write):
    rows = [planned(k, k, "decode", speed, head_type=head)
            for k, head, speed in (("f16_avx2", "f16", 4), ("i2s_avx2", "f16", 20),
                                   ("f16_avx2", "q6_k", 5), ("i2s_avx2", "q6_k", 40))]
    # Eight sequences together are no speed-up of one.
    rows.append(planned("f16_avx2", "f16_avx2", "decode", 30, head_type="q6_k", sequences=8))
    rows.append(planned("f16_avx2", "f16_avx2", "prefill+decode", 30, head_type="q6_k"))
    table = tables.speedup_table(load([write(rows, columns=COLUMNS_3)]))
    found = {(r["kernel"], r["head_type"]): r["decode_over_f16"] for _, r in table.iterrows()}
    assert found == {("f16_avx2", "f16"): 1, ("i2s_avx2", "f16"): 5,
                     ("f16_avx2", "q6_k"): 1, ("i2s_avx2", "q6_k"): 8}
    assert tables.speedup_cells(table)["head"] == list(table["head_type"])


def test_a_window_of_another_size_is_another_cell(write):
    def windowed(distinct, run):
        return planned("default", "i2r_avx2", "decode", 30, schema_version=4, layers_run=run,
                       model_mode="layer_window", layers_distinct=distinct, extrapolated_pct=0)
    rows = [windowed(2, 30), windowed(4, 30), windowed(4, 16), windowed(4, 16)]
    frame = load([write(rows, columns=COLUMNS_4)])
    assert sorted(zip(frame["layers_distinct"], frame["layers_run"])) == [(2, 30), (4, 16), (4, 30)]
    del rows[0]["layers_run"]
    with pytest.raises(LoadError) as problem:
        load([write(rows[:1], columns=[c for c in COLUMNS_4 if c != "layers_run"])])
    assert "missing column layers_run" in str(problem.value)


# What one cell measured twice differs by, tables do not claim.
def test_ratios_below_the_limit_of_the_control_are_marked(write, capsys):
    def row(kernel, phase, speed, limit):
        return planned(kernel, kernel, phase, speed, schema_version=5, aa_limit_pct=limit)
    rows = [row("f16_avx2", "decode", 100, 2), row("int8_avx2", "decode", 101, 2),
            row("i2s_avx2", "decode", 103, 2), row("i2r_avx2", "decode", 103, 4),
            row("t5r_avx2", "decode", 97, ""), row("f16_avx2", "prefill", 100, ""),
            row("i2s_avx2", "prefill", 100.1, "")]
    path = write(rows, columns=COLUMNS_5)
    cells = tables.speedup_cells(tables.speedup_table(load([path])))
    shown = dict(zip(cells["kernel"], cells["decode x f16"]))
    assert shown == {"f16_avx2": "1.00x", "int8_avx2": "~1.01x", "i2s_avx2": "1.03x",
                     "i2r_avx2": "~1.03x", "t5r_avx2": "0.97x"}
    # Without any control nothing is known, and nothing marked.
    assert set(cells["prefill x f16"]) == {"", "1.00x"}
    assert main(["table", str(path)]) == 0
    assert tables.NOTE_LIMIT in capsys.readouterr().out


# Drift moved the medians apart by 20%; round by round the one is 2% faster.
def test_rows_of_one_control_are_compared_by_rounds(write):
    def rows(**other):
        base = planned("f16_avx2", "f16_avx2", "decode", 100, schema_version=5, aa_limit_pct=1,
                       control="f16_avx2 125M", control_ratio=1.0)
        return [base, dict(base, kernel="i2s_avx2", plan="i2s_avx2", layout="i2s", tokens_per_s=120,
                           median_ns=1e7 / 1.2, control_ratio=1 / 1.02, **other)]
    def shown(rows):
        cells = tables.speedup_cells(tables.speedup_table(load([write(rows, columns=COLUMNS_5)])))
        return dict(zip(cells["kernel"], cells["decode x f16"]))["i2s_avx2"]
    assert shown(rows()) == "1.02x"
    assert shown(rows(aa_limit_pct=3)) == "~1.02x"
    # Of other rounds it would say nothing.
    for other in ({"run_id": "r2"}, {"control": "int8_avx2 125M"}):
        different = rows()
        different[1].update(other)
        assert shown(different) == "1.20x"
    different = rows()
    for row in different:
        row["control"] = ""
    assert shown(different) == "1.20x"


def test_a_bar_of_speed_is_measured_by_rounds_and_marked(write, tmp_path, capsys):
    (tmp_path / "bars.toml").write_text('''[[bar]]
what = "a over b"
kernels = ["a_avx2"]
shapes = ["256x512"]
batch = [1]
cache = "cold"
threads = [1]
metric = "speed"
over = "b_avx2"
at_least = 1.0
''')
    common = dict(schema_version=5, aa_limit_pct=3, control="a_avx2 256x512")
    path = write([product("a_avx2", "cold", 1000, control_ratio=1, **common),
                  product("b_avx2", "cold", 1500, control_ratio=1.02, **common)], columns=COLUMNS_5)
    assert main(["bars", str(path), "--bars", str(tmp_path / "bars.toml")]) == 0
    out = capsys.readouterr().out
    assert "~1.02x" in out and tables.NOTE_LIMIT in out


def test_files_without_controls_have_no_marks(write, capsys):
    rows = [e2e("f16_avx2", "decode", 100), e2e("i2s_avx2", "decode", 100.1)]
    assert main(["table", str(write(rows))]) == 0
    assert "~" not in capsys.readouterr().out


@pytest.mark.parametrize("ratio, limits, unclear", [
    (1.019, (2, 1), True), (1.021, (2, 1), False), (1 / 1.019, (1, 2), True),
    (1 / 1.021, (1, 2), False), (1.019, (math.nan, 2), True), (1.019, (math.nan, math.nan), False),
    (math.nan, (2, 2), False),
])
def test_the_larger_limit_counts_on_either_side_of_one(ratio, limits, unclear):
    assert tables.below_limit(ratio, *limits) is unclear


def test_rows_of_another_plan_or_sequences_are_other_cells(write):
    rows = [planned(p, "i2r_avx2", "decode", 30, sequences=n) for p in ("default", "stored")
            for n in (1, 4)]
    assert len(load([write([*rows, *rows], columns=COLUMNS_3)])) == 4


def test_version_3_needs_its_columns(write):
    columns = [c for c in COLUMNS_3 if c != "plan"]
    with pytest.raises(LoadError, match="line 1: missing column plan"):
        row = planned("default", "mixed", "decode", 40)
        del row["plan"]
        load_file(write([row], columns=columns))


def test_missing_column_is_named(write):
    with pytest.raises(LoadError, match="missing column median_ns"):
        load_file(write([], columns=[c for c in COLUMNS if c != "median_ns"]))


def test_a_row_cut_short_by_a_kill_is_dropped_but_only_at_the_end(write):
    path = write([e2e("f16_avx2", "decode", 5), e2e("i2s_avx2", "decode", 30)])
    whole = path.read_text()
    path.write_text(whole[:-60].rstrip("\n"))
    assert list(load([path])["kernel"]) == ["f16_avx2"]
    path.write_text(whole[:-60].rstrip("\n") + "\n")
    with pytest.raises(LoadError, match="line 3: .* fields, expected"):
        load([path])


def test_unwritable_output_is_one_line(write, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    output = str(tmp_path / "file" / "x")
    error = one_line_error(capsys, ["figures", str(write(FULL)), "-o", output])
    assert "cannot write figures" in error


# ---- figures -------------------------------------------------------------------------------------

def decode_png(path):
    """Width, height and the number of distinct pixel values of an 8-bit PNG."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, pixels = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IHDR":
            width, height = struct.unpack(">II", data[at + 8:at + 16])
        if kind == b"IDAT":
            pixels += data[at + 8:at + 8 + length]
        at += 12 + length
    return width, height, len(set(zlib.decompress(pixels)))


def draw(paths, directory):
    assert main(["figures", *map(str, paths), "-o", str(directory)]) == 0
    return sorted(p.name for p in directory.iterdir())


def test_figures_of_models_and_products(write, tmp_path, capsys):
    rows = FULL + [e2e("i2s_avx2", "decode", 3, model="2B-4T")]
    rows += [product(k, m, 1000 + 100 * len(m)) for k in ("i2s_avx2", "new_kernel")
             for m in ("hot", "cold")]
    rows += [product("i2s_avx2", "hot", 9000, phase="gemm")]
    names = draw([write(rows)], tmp_path / "out")
    stems = ["by_threads_models", "decode_gb_per_s", "decode_tokens_per_s", "kernel_gemm_gmac_per_s",
             "kernel_gemv_gb_per_s", "prefill_tokens_per_s"]
    assert names == sorted(f"{s}.{e}" for s in stems for e in ("png", "svg"))
    printed = capsys.readouterr().out.splitlines()
    assert sorted(printed) == sorted(str(tmp_path / "out" / n) for n in names)
    for name in names:
        if name.endswith(".png"):
            width, height, values = decode_png(tmp_path / "out" / name)
            assert width > 500 and height > 200 and values > 20, name


def test_figures_with_one_row_and_with_holes(write, tmp_path):
    bare = e2e("mystery_isa9_tag", "decode", 7, ci95_lo_ns="", ci95_hi_ns="", gb_per_s="",
               pct_of_ceiling="", ceiling_gb_per_s="", utc="", git_revision="", cpu="",
               model_file_bytes="")
    assert draw([write([bare])], tmp_path / "one") == [
        "decode_tokens_per_s.png", "decode_tokens_per_s.svg"]
    width, height, values = decode_png(tmp_path / "one" / "decode_tokens_per_s.png")
    assert width > 500 and height > 200 and values > 20


def test_figures_show_no_unproved_kernel_and_say_where_they_come_from(write, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        draw([write(FULL + [e2e("wrong_avx2", "decode", 999, verified="no")])], tmp_path / "out")
    svg = (tmp_path / "out" / "decode_tokens_per_s.svg").read_text()
    assert "i2s_avx2" in svg and "wrong_avx2" not in svg
    assert "tokens/s" in svg
    text = " ".join(svg.split())
    for part in ("results.csv", "m-1", "Test CPU", "2026-11-20", "abc123"):
        assert part in text, part


def test_bars_of_different_prompt_lengths_say_which(write, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    rows = [e2e("f16_scalar", "prefill", 1, batch=4), e2e("f16_avx2", "prefill", 9, batch=64)]
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        draw([write(rows)], tmp_path / "out")
    svg = (tmp_path / "out" / "prefill_tokens_per_s.svg").read_text()
    assert "f16_scalar (4 tokens)" in svg and "f16_avx2 (64 tokens)" in svg


def test_many_shapes_go_over_pages(write, tmp_path):
    rows = [product("i2s_avx2", "hot", 1000, n=64 * i) for i in range(1, 12)]
    names = draw([write(rows)], tmp_path / "out")
    assert [n for n in names if n.endswith("png")] == [
        "kernel_gemv_gb_per_s-2.png", "kernel_gemv_gb_per_s.png"]


# ---- README --------------------------------------------------------------------------------------

def test_readme_shows_what_its_result_file_gives(root):
    done = subprocess.run([sys.executable, str(root / "scripts" / "update-readme.py"), "--check"],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "README.md, quick: as results/" in done.stdout


# ---- bars ----------------------------------------------------------------------------------------

BAR_COLUMNS = COLUMNS + ["peak_gmac_per_s", "peak_probe", "pct_of_peak", "mix_gmac_per_s",
                         "pct_of_mix"]
BARS = """
[[bar]]
what = "cold"
kernels = ["a_avx2", "b_avx2"]
batch = [1]
cache = "cold"
threads = [1]
metric = "pct_of_ceiling"
at_least = 90
[[bar]]
what = "over"
kernels = ["b_avx2"]
over = "a_avx2"
batch = [1]
cache = "cold"
threads = [1]
metric = "speed"
at_least = 1.2
[[bar]]
what = "peak"
kernels = ["a_avx2"]
shapes = ["256x512"]
batch = [32]
cache = "hot"
threads = [1]
metric = "pct_of_peak"
at_least = 72
"""


@pytest.fixture
def bars(write, tmp_path, capsys):
    def run(rows, text=BARS):
        (tmp_path / "bars.toml").write_text(text)
        path = write(rows, columns=BAR_COLUMNS)
        code = main(["bars", str(path), "--bars", str(tmp_path / "bars.toml")])
        out, error = capsys.readouterr()
        return code, out, error
    return run


def test_an_id_is_taken_apart_at_its_isa():
    assert split_id("i2s_avx2") == ("i2s", "avx2", "")
    assert split_id("q8_0_avx512vnni") == ("q8_0", "avx512vnni", "")
    assert split_id("iq2_bn_r4_avx2_q8k") == ("iq2_bn_r4", "avx2", "q8k")
    assert split_id("new_wonder") == ("new", "wonder", "")
    assert split_id("") == ("", "", "")


def verdicts(out):
    return [line.split()[-2:] for line in out.splitlines()[3:-2]]


def test_bars_are_met_only_by_what_was_measured(bars):
    rows = [product("a_avx2", "cold", 1200, pct_of_ceiling=90.0),
            product("b_avx2", "cold", 1000, pct_of_ceiling=89.9),
            product("a_avx2", "hot", 5000, phase="gemm", pct_of_peak=71.9)]
    code, out, _ = bars(rows)
    assert code == 1
    assert [v[-1] == "met" and v[0] != "not" for v in verdicts(out)] == [True, False, True, False]
    assert "1.20x" in out and "2 met, 2 not met, 0 not measured" in out
    rows[1]["pct_of_ceiling"], rows[2]["pct_of_peak"] = 90.0, 72.0
    assert bars(rows)[0] == 0


def test_a_bar_without_its_partner_or_without_proof_is_not_met(bars):
    rows = [product("b_avx2", "cold", 1000, pct_of_ceiling=95.0),
            product("a_avx2", "cold", 9000, pct_of_ceiling=99.0, verified="no")]
    code, out, _ = bars(rows)
    assert code == 1 and "1 met, 0 not met, 3 not measured" in out
    # A partner of another run is no partner.
    rows[1] = product("a_avx2", "cold", 9000, pct_of_ceiling=99.0, run_id="r2")
    assert "2 met, 0 not met, 2 not measured" in bars(rows)[1]


@pytest.mark.parametrize("wrong, expected", [
    (BARS.replace("at_least = 90", "atleast = 90"), "missing at_least"),
    (BARS.replace('metric = "pct_of_ceiling"', 'metric = "speed"'), "'over' belongs to"),
    (BARS.replace('"pct_of_peak"', '"speedup"'), "metric is 'speedup'"),
    (BARS + "colour = 1\n", "unknown key colour"),
    ("", "one or more [[bar]]"),
    ("[[bar", "cannot be read as TOML"),
])
def test_a_bad_file_of_bars_is_one_line_and_exit_code_2(bars, wrong, expected):
    code, out, error = bars([product("a_avx2", "cold", 1000)], wrong)
    assert (code, out) == (2, "") and error.count("\n") == 1 and expected in error


def test_files_of_the_first_schema_version_have_no_peaks(bars, write, tmp_path, capsys):
    (tmp_path / "bars.toml").write_text(BARS)
    path = write([product("a_avx2", "hot", 5000, phase="gemm")])
    assert main(["bars", str(path), "--bars", str(tmp_path / "bars.toml")]) == 1
    assert "0 met, 0 not met, 4 not measured" in capsys.readouterr().out


def test_the_bars_of_the_project_can_be_read(root):
    from tritbench_plots.bars import read_bars
    assert len(read_bars(root / "experiments" / "bars" / "records.toml")) >= 10


# ---- records and peers ---------------------------------------------------------------------------

def test_records_show_the_worst_shape(write):
    from tritbench_plots.records import records_cells, records_table
    rows = [product("i2r_avx2", "cold", 1000, pct_of_ceiling=95, n=256, gmac_per_s=131),
            product("i2r_avx2", "cold", 1000, pct_of_ceiling=91, n=512, gmac_per_s=120),
            product("i2r_avx2", "cold", 600, pct_of_ceiling=80, n=512, threads=2, gmac_per_s=220),
            product("i2r_avx2", "hot", 500, pct_of_peak=50, gmac_per_s=262),
            product("i2r_avx2", "hot", 5000, phase="gemm", pct_of_peak=71.4),
            product("i2r_avx2", "hot", 5000, phase="gemm", pct_of_peak=10, n=512, verified="no")]
    cells = records_cells(records_table(load([write(rows, columns=BAR_COLUMNS)])))
    assert cells["cold x1 Gweights/s"] == ["120.0"] and cells["cold x1 % bw"] == ["91%"]
    assert cells["cold x2 % bw"] == ["80%"] and cells["hot % peak"] == ["50%"]
    assert cells["batch 32 % peak"] == ["71%"] and "batch 512 % peak" not in cells


PEERS = [
    ("ours", "tritbench", "a", 1, "cold", 100, 1e-3), ("ours", "tritbench", "b", 1, "cold", 90, 0.2),
    ("peer", "x", "fast_but_wrong", 1, "cold", 10, 3.0), ("peer", "x", "right", 1, "cold", 170, 1e-3),
    ("peer", "y", "no_answer", 1, "cold", 11, ""), ("ours", "tritbench", "a", 32, "hot", 100, 1e-3),
    ("peer", "x", "fast_but_wrong", 32, "hot", 10, 3.0),
]


def test_a_race_is_run_against_the_fastest_right_answer(tmp_path):
    from tritbench_plots.records import (PEER_COLUMNS, load_peers, peers_cells, peers_table,
                                         wrong_answers)
    path = tmp_path / "peers.csv"
    with open(path, "w", newline="") as out:
        file = csv.writer(out)
        file.writerow(PEER_COLUMNS)
        for side, engine, kernel, batch, cache, us, error in PEERS:
            file.writerow([side, engine, kernel, 256, 512, batch, 1, cache, us * 1e3, 1, 9, 1, error])
    frame = load_peers(path)
    cells = peers_cells(peers_table(frame))
    assert cells["best of ours"] == ["a"] and cells["fastest peer"] == ["x right"]
    assert cells["ratio"] == ["1.70x"] and cells["product"] == ["GEMV cold"]
    assert wrong_answers(frame).count("batch") == 3
    path.write_text(path.read_text().replace("median_ns", "median"))
    with pytest.raises(LoadError, match="missing column median_ns"):
        load_peers(path)


# ---- engines ------------------------------------------------------------------------------------


def write_race(path, lines):
    head = "round,side,engine,model,test,threads,tokens_per_s"
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def test_engines_are_compared_within_rounds(tmp_path):
    from tritbench_plots.engines import engines_cells, engines_table, load_engines

    # The host was half as fast in the second round, for all: ratios are 2, 2 and 4.
    path = write_race(tmp_path / "engines.csv", [
        "1,ours,default,2B,tg32,1,40", "1,peer,slow,2B,tg32,1,10", "1,peer,fast,2B,tg32,1,20",
        "2,ours,default,2B,tg32,1,20", "2,peer,slow,2B,tg32,1,9", "2,peer,fast,2B,tg32,1,10",
        "3,ours,default,2B,tg32,1,80", "3,peer,fast,2B,tg32,1,20", "3,ours,q4_0,2B,tg32,1,90",
        "1,ours,default,2B,pp128,1,40"])  # no peer ran it
    cells = engines_cells(engines_table(load_engines(path)))
    assert cells == {"model": ["2B"], "test": ["tg32"], "threads": ["1"], "ours tok/s": ["40.0"],
                     "fastest peer": ["fast"], "its tok/s": ["20.0"],
                     "ratio": ["2.00x (2.00..4.00)"], "q4_0 tok/s": ["90.0"]}


@pytest.mark.parametrize("line, message", [
    ("1,theirs,x,2B,tg32,1,40", "column side: found 'theirs'"),
    ("1,ours,x,2B,tg32,1,0", "column tokens_per_s"),
])
def test_bad_races_are_named(tmp_path, line, message):
    from tritbench_plots.engines import load_engines
    from tritbench_plots.load import LoadError

    with pytest.raises(LoadError, match=message):
        load_engines(write_race(tmp_path / "engines.csv", [line]))
