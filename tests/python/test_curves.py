"""The figures of the named experiments, on rows made here: what is drawn, and what is not."""

import csv

import pytest
from test_plots import COLUMNS_4, decode_png, draw, e2e, product
from tritbench_plots.comparisons import layout_panels, tile_panels
from tritbench_plots.curves import CURVES, panels_of, rows_for
from tritbench_plots.load import load

CURVE = {curve.name: curve for curve in CURVES}
ZERO = {"activation_zeros": ""}


@pytest.fixture
def write(tmp_path):
    def writer(rows, name="results.csv"):
        path = tmp_path / name
        with open(path, "w", newline="") as out:
            file = csv.DictWriter(out, COLUMNS_4, restval="")
            file.writeheader()
            file.writerows(rows)
        return path
    return writer


def model(kernel, phase, speed, size, threads=1, **other):
    return e2e(kernel, phase, speed, threads, **{
        "model": f"{size}M", "model_parameters": size * 10**6, "plan": kernel,
        "head_type": "q6_k", "cache_type": "f16", "sequences": 1, **other})


def shaped(kernel, batch=1, gmac=100.0, n=256, k=512, cache="hot", **other):
    ns = n * k * batch / gmac
    return product(kernel, cache, ns, "gemv" if batch == 1 else "gemm", **{
        "batch": batch, "n": n, "k": k, "gmac_per_s": gmac, "gb_per_s": n * k / 4 / ns,
        "bits_per_weight": 2, **other})


def panels(path, name):
    curve = CURVE[name]
    return panels_of(rows_for(load([path]), curve), curve)


SIZES = [model(k, phase, speed * 1000 / size, size)
         for k, speed in (("i2s_avx2", 8), ("i2s_scalar", 2), ("f16_avx2", 3))
         for size in (100, 300, 1000) for phase in ("prefill", "decode")]


def test_size_draws_the_best_kernel_of_each_layout_over_parameters(write):
    found = dict(panels(write(SIZES), "by_size"))
    assert set(found) == {"prefill of 128, 1 thread", "decode, 1 thread"}
    for rows in found.values():
        assert set(rows["line"]) == {"i2s_avx2", "f16_avx2"}
        assert sorted(rows["model_parameters"].unique()) == [1e8, 3e8, 1e9]
        best = rows[rows["line"] == "i2s_avx2"].sort_values("model_parameters")
        assert list(best["tokens_per_s"]) == pytest.approx([80, 80 / 3, 8])


def test_plans_are_lines_of_their_own_and_two_sizes_are_no_curve(write):
    plans = [dict(r, plan="default") for r in SIZES if r["kernel"] == "i2s_avx2"]
    lines = set(panels(write([*SIZES, *plans]), "by_size")[0][1]["line"])
    assert lines == {"i2s_avx2", "f16_avx2", "plan default"}
    small = [r for r in SIZES if r["model"] != "1000M"]
    assert panels(write(small), "by_size") == []


def test_rows_without_proof_and_several_sequences_are_in_no_curve(write):
    wrong = [dict(r, kernel="t5r_avx2", layout="t5r", plan="t5r_avx2", verified="no")
             for r in SIZES]
    together = [dict(r, kernel="t3r_avx2", layout="t3r", plan="t3r_avx2", sequences=8)
                for r in SIZES if r["phase"] == "decode"]
    for _, rows in panels(write([*SIZES, *wrong, *together]), "by_size"):
        assert set(rows["line"]) == {"i2s_avx2", "f16_avx2"}


def test_threads_of_models_and_products(write):
    rows = [model("i2s_avx2", "decode", 10 * t, 100, threads=t) for t in (1, 2, 4)]
    rows += [shaped("i2s_avx2", gmac=100 * t, threads=t, cache="cold") for t in (1, 2)]
    rows += [shaped("f16_avx2", gmac=10, threads=1, cache="cold")]
    path = write(rows)
    (heading, part), = panels(path, "by_threads_models")
    assert heading == "100M, decode" and list(part["threads"]) == [1, 2, 4]
    (heading, part), = panels(path, "by_threads_products")
    assert heading == "256 x 512, batch 1, cold"
    assert set(part["line"]) == {"i2s_avx2"}  # one point of f16 is no curve


def test_batches_and_footprints(write):
    rows = [shaped("i2s_avx2", batch=b, gmac=100 + b) for b in (1, 8, 64)]
    rows += [shaped("i2s_avx2", n=256 * 4**i, gmac=90 - i, cache=c)
             for i in range(1, 5) for c in ("hot", "cold")]
    path = write(rows)
    (heading, part), = panels(path, "by_batch")
    assert heading == "256 x 512, 1 thread, hot"
    assert list(zip(part["batch"], part["gmac_per_s"])) == [(1, 101), (8, 108), (64, 164)]
    found = dict(panels(path, "by_footprint"))
    assert set(found) == {"1 thread, hot", "1 thread, cold"}
    # Two bits a weight.
    assert sorted(found["1 thread, cold"]["packed_bytes"]) == pytest.approx(
        [256 * 512 / 4 * 4**i for i in range(1, 5)], rel=0.01)


def test_the_best_tile_counts_in_a_curve_and_all_are_in_their_own_figure(write):
    rows = [shaped("tl1_avx2", batch=b, gmac=g * b, tile=f"BM={t}")
            for b in (1, 2, 4) for t, g in ((32, 10), (64, 30), (128, 20))]
    path = write(rows)
    (_, part), = panels(path, "by_batch")
    assert list(part.sort_values("batch")["gmac_per_s"]) == [30, 60, 120]
    found = tile_panels(load([path]))
    assert len(found) == 3
    heading, tiles = found[0]
    assert heading == "tl1_avx2\n256 x 512, batch 1, 1 thread, hot"
    assert list(tiles["tile"]) == ["BM=64", "BM=128", "BM=32"]
    assert tile_panels(load([write(rows[::3])])) == []  # one tile of each


def test_layouts_are_told_by_bits_and_by_their_best_kernel(write):
    rows = [shaped(f"{k}", gmac=g, bits_per_weight=b, layout=k.split("_")[0])
            for k, g, b in (("f16_avx2", 10, 16), ("f16_avx512", 20, 16), ("i2s_avx2", 100, 2),
                            ("t5r_avx2", 120, 1.6))]
    (heading, part), = layout_panels(load([write(rows)]))
    assert heading == "256 x 512, batch 1, 1 thread, hot"
    assert sorted(zip(part["bits_per_weight"], part["speed"])) == [(1.6, 120), (2, 100), (16, 20)]
    assert layout_panels(load([write(rows[:3])])) == []  # two layouts
    same = [dict(r, bits_per_weight=2) for r in rows]
    assert layout_panels(load([write(same)])) == []


def test_every_figure_is_drawn(write, tmp_path):
    rows = [*SIZES, *[dict(r, threads=2) for r in SIZES]]
    rows += [shaped(k, batch=b, gmac=g, threads=t, bits_per_weight=bits)
             for k, g, bits in (("f16_avx2", 10, 16), ("i2s_avx2", 90, 2), ("t5r_avx2", 95, 1.6))
             for b in (1, 8, 64) for t in (1, 2)]
    rows += [shaped("i2s_avx2", n=256 * 4**i, gmac=90 - i) for i in range(1, 5)]
    rows += [shaped("tl1_avx2", gmac=g, tile=f"BM={g}") for g in (10, 20, 30)]
    names = draw([write(rows)], tmp_path / "out")
    for curve in [*CURVE, "by_tile", "by_layout"]:
        assert f"{curve}.png" in names and f"{curve}.svg" in names
        width, height, values = decode_png(tmp_path / "out" / f"{curve}.png")
        assert width > 500 and height > 200 and values > 20, curve


def test_a_figure_says_where_its_rows_come_from(write, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        draw([write(SIZES)], tmp_path / "out")
    text = " ".join((tmp_path / "out" / "by_size.svg").read_text().split())
    for part in ("results.csv", "Test CPU", "2026-11-20", "abc123", "i2s_avx2", "tokens/s", "300M"):
        assert part in text, part
    assert "i2s_scalar" not in text
