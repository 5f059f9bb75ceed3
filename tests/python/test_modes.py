"""Models that are full, drawn in memory, or a window of layers, through the command line."""

import json
import re
import subprocess

import pytest

DECODE = ["-p", "0", "-n", "2", "-t", "1", "-r", "1", "--kernel", "i2s_scalar", "-q"]


def run(tritbench, *args, cwd):
    return subprocess.run([tritbench, *map(str, args)], capture_output=True, text=True, cwd=cwd,
                          timeout=300)


def rows(tritbench, folder, *flags):
    result = run(tritbench, "e2e", *flags, *DECODE, "-o", "jsonl", "--models-folder",
                 folder / "models", cwd=folder)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()], result.stderr


def test_every_mode_of_a_preset_says_what_it_is(tritbench, tmp_path):
    found, _ = rows(tritbench, tmp_path, "--preset", "125M", "--mode",
                    "full,shape_only,layer_window", "--window", "2")
    by_mode = {row["model_mode"]: row for row in found}
    assert list(by_mode) == ["full", "shape_only", "layer_window"]
    assert [r["layers_distinct"] for r in found] == [11, 11, 2]
    assert [r["layers_run"] for r in found] == [11, 11, 11]
    assert [r["extrapolated_pct"] for r in found] == [0, 0, 0]
    assert all(r["status"] == "ok" and r["verified"] == "bitexact" for r in found)
    # The same weights, whether a file holds them or not; those of a window are others.
    hashes = [r["logits_hash"] for r in found]
    assert hashes[0] == hashes[1] != hashes[2]
    # The same traffic in all of them.
    assert len({r["bytes"] for r in found}) == 1
    assert "model_file_bytes" in by_mode["full"]
    assert "model_file" not in by_mode["shape_only"]
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["125M-i2_s.gguf"]


def test_layers_that_are_not_run_are_extrapolated_and_marked(tritbench, tmp_path):
    (row,), _ = rows(tritbench, tmp_path, "--preset", "125M", "--mode", "layer_window",
                     "--window", "2", "--layers-run", "4")
    assert row["layers_run"] == 4
    # 7 of 11 layers, of all but the head.
    assert 0 < row["extrapolated_pct"] < 100 * 7 / 11
    assert "logits_hash" not in row  # they would be another model's
    assert not (tmp_path / "models").exists()


def test_a_mode_that_is_chosen_is_explained(tritbench, tmp_path):
    (row,), said = rows(tritbench, tmp_path, "--preset", "125M", "--budget", "10m")
    assert row["model_mode"] == "full"
    assert "tritbench: 125M: full: it fits memory, disk and time" in said
    (row,), said = rows(tritbench, tmp_path, "--preset", "125M")
    assert "its file is there" in said


def test_files_have_windows_too(tritbench, tmp_path):
    model = tmp_path / "tiny.gguf"
    made = run(tritbench, "gen", "--preset", "125M", "--layers", "4", "-o", model, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    (row,), _ = rows(tritbench, tmp_path, "-m", model, "--window", "2")
    assert (row["model_mode"], row["layers_distinct"], row["layers_run"]) == ("layer_window", 2, 4)
    # Nor is a model of which not all layers are run a full one.
    (row,), _ = rows(tritbench, tmp_path, "-m", model, "--layers-run", "3")
    assert (row["model_mode"], row["layers_distinct"], row["layers_run"]) == ("layer_window", 3, 3)
    assert row["extrapolated_pct"] > 0


@pytest.mark.parametrize("flags, expected", [
    (["--preset", "125M", "--mode", "half"], "--mode: 'half' is no mode; expected auto, full"),
    (["--preset", "125M", "--mode", "layer_window", "--window", "12"],
     "a window of 12 layers, 11 run"),
    (["--preset", "125M", "--mode", "layer_window", "--window", "3", "--layers-run", "2"],
     "a window of 3 layers, 2 run"),
    (["--preset", "125N"], "125N"),
    (["--preset", "125M", "--budget", "soon"], "expected a time such as 90s"),
    ([], "e2e needs either -m FILE.gguf or --preset NAME"),
    (["--preset", "125M", "-m", "x.gguf"], "excludes"),
])
def test_bad_modes_are_one_line(tritbench, tmp_path, flags, expected):
    result = run(tritbench, "e2e", *flags, *DECODE, cwd=tmp_path)
    assert result.returncode == 2
    assert expected in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_specs_name_modes(tritbench, tmp_path):
    spec = tmp_path / "modes.toml"
    spec.write_text("""
[[model_cells]]
models = ["125M"]
modes = ["shape_only", "layer_window"]
window = 3
layers_run = 6
kernels = ["i2s_scalar"]
decode = 2
repetitions = 1
""")
    dry = run(tritbench, "sweep", spec, "--dry-run", cwd=tmp_path)
    assert dry.returncode == 0, dry.stderr
    assert "drawn" in dry.stdout
    assert "window of 3, 6 run of 11 layers" in dry.stdout
    assert "to be generated" not in dry.stdout
    result = run(tritbench, "sweep", spec, "-q", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    header, *lines = (tmp_path / "modes.csv").read_text().splitlines()
    assert len(lines) == 2 and re.search(r",layer_window,3,6,", lines[1])
