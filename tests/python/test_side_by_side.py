"""Google Benchmark's figures beside tritbench's, on files made here."""

import json

import pytest
from test_curves import write  # noqa: F401  (a fixture)
from test_plots import product
from tritbench_plots.cli import main


def gbench_run(kernel="i2s_avx2", ns=1000.0, cache="hot", **other):
    return dict({"name": f"{kernel}/256x512/batch:1/threads:1/{cache}/real_time",
                 "run_name": f"{kernel}/256x512/batch:1/threads:1/{cache}/real_time",
                 "run_type": "iteration", "real_time": ns, "time_unit": "ns",
                 "label": f"{kernel.split('_')[0]} bitexact", "GMAC/s": 131072 / ns,
                 "GB/s": 32.0}, **other)


def test_the_same_product_stands_in_one_line(write, tmp_path, capsys):
    path = write([product("i2s_avx2", "hot", 1000), product("i2s_avx2", "cold", 4000),
                  product("i2r_avx2", "hot", 500, tile="prefetch=1")])
    runs = [gbench_run(ns=ns) for ns in (1010.0, 1050.0, 1020.0)]
    runs += [gbench_run(ns=1.0, run_type="aggregate"), gbench_run("f16_avx2"),
             gbench_run(cache="cold", error_occurred=True),
             gbench_run("i2r_avx2", 0.51, time_unit="us", label="i2r prefetch=1 bitexact"),
             gbench_run("i2r_avx2", 0.9, time_unit="us", label="i2r prefetch=0 bitexact")]
    file = tmp_path / "g.json"
    file.write_text(json.dumps({"benchmarks": runs}))
    assert main(["gbench", str(file), str(path), "--markdown"]) == 0
    out = capsys.readouterr().out
    lines = [line.split("|")[1:-1] for line in out.splitlines() if line.startswith("| i2")]
    assert [(row[0].strip(), row[6].strip(), row[9].strip()) for row in lines] == [
        ("i2s_avx2", "1.02", "1.020"), ("i2r_avx2 prefetch=1", "0.510", "1.020")]
    assert "2 products" in out and "median 1.020" in out


@pytest.mark.parametrize("text, words", [
    ("", "is not the JSON"), ("[]", "is not the JSON"), ('{"benchmarks": []}', "no benchmark"),
    ('{"benchmarks": [3]}', "is not the JSON"),
])
def test_other_json_is_refused_in_one_line(write, tmp_path, capsys, text, words):
    path = write([product("i2s_avx2", "hot", 1000)])
    file = tmp_path / "g.json"
    file.write_text(text)
    assert main(["gbench", str(file), str(path)]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
