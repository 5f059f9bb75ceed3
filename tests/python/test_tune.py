"""tune: what it writes, that a model runs with it to the same bits, and what it refuses."""

import csv
import os
import signal
import subprocess
import time
import tomllib

import pytest
from small_models import SmallModel, run_logits

TOKENS = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89]
BATCHES = "1,4,16"


def tune(tritbench, *flags, code=0, cpu=None):
    env = dict(os.environ) if cpu is None else {**os.environ, "TRITBENCH_CPU": cpu}
    done = subprocess.run([tritbench, "tune", *map(str, flags)], capture_output=True, text=True,
                          timeout=500, env=env)
    assert done.returncode == code, done
    return done


def refusal(tritbench, *flags):
    """The one line of an error."""
    done = tune(tritbench, *flags, code=2)
    assert done.stdout == "" and done.stderr.count("\n") == 1, done
    return done.stderr


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return SmallModel(head="f16").write(tmp_path_factory.mktemp("tune") / "small.gguf")


@pytest.mark.parametrize("goal", ["decode", "balanced"])
def test_a_tuned_model_has_the_same_logits(tritbench, small, tmp_path, goal):
    plan, rows = tmp_path / "plan.toml", tmp_path / "race.csv"
    done = tune(tritbench, "-m", small, "-t", "1,2", "-b", BATCHES, "--budget", "4s", "--for", goal,
                "-o", plan, "--csv", rows)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plan.toml", "race.csv"]
    read = tomllib.loads(plan.read_text())
    assert read["version"] == 1
    assert read["threads"] in (1, 2)
    assert read["notes"]["for"] == goal
    shapes = {layer["shape"] for layer in read["layer"]}
    assert shapes == {"256x256", "128x256", "512x256", "256x512"}
    for layer in read["layer"]:
        batches = [call.get("batch") for call in layer["call"]]
        assert batches[-1] is None and None not in batches[:-1]
        assert all(call["kernel"].startswith(layer["layout"]) for call in layer["call"])

    # Every layer and batch is in the table with the default.
    table = done.stdout.splitlines()
    for layer in ("attn_q attn_output 256x256", "attn_k attn_v 128x256", "ffn_gate ffn_up 512x256",
                  "ffn_down 256x512"):
        assert sum(line.startswith(layer) for line in table) == 3, done.stdout

    with rows.open() as file:
        raced = list(csv.DictReader(file))
    for threads in "1", "2":
        for batch in BATCHES.split(","):
            race = [r for r in raced if r["threads"] == threads and r["batch"] == batch]
            assert sum(r["outcome"] == "won" for r in race) == 4  # a layer each
    assert not any(r["outcome"].startswith("wrong") for r in raced)

    for threads in "1", "2":
        plain = run_logits(tritbench, small, TOKENS, tmp_path / "plain.bin", "-t", threads)
        tuned = run_logits(tritbench, small, TOKENS, tmp_path / "tuned.bin", "-t", threads,
                           "--plan", str(plan))
        assert plain.tobytes() == tuned.tobytes()


def test_a_narrowed_search_stays_within_its_kernels(tritbench, small, tmp_path):
    plan = tmp_path / "plan.toml"
    tune(tritbench, "-m", small, "-t", "1", "-b", "1,8", "--budget", "2s", "-k", "i2s_*,!*_bitnet",
         "-o", plan)
    read = tomllib.loads(plan.read_text())
    assert {layer["layout"] for layer in read["layer"]} == {"i2s"}
    plain = run_logits(tritbench, small, TOKENS, tmp_path / "plain.bin")
    tuned = run_logits(tritbench, small, TOKENS, tmp_path / "tuned.bin", "--plan", str(plan))
    assert plain.tobytes() == tuned.tobytes()


def test_shapes_get_a_plan_of_their_own(tritbench, tmp_path):
    plan = tmp_path / "plan.toml"
    done = tune(tritbench, "--shape", "320x512,64x1024", "-t", "1", "-b", "1,8", "--budget", "2s",
                "-o", plan)
    read = tomllib.loads(plan.read_text())
    assert [layer["shape"] for layer in read["layer"]] == ["320x512", "64x1024"]
    assert "model" not in read["notes"]
    assert "320x512" in done.stdout


def test_scalar_kernels_race_where_there_is_nothing_else(tritbench, tmp_path):
    plan = tmp_path / "plan.toml"
    tune(tritbench, "--shape", "64x128", "-t", "1", "-b", "1", "--budget", "1s", "-k", "i2s_*",
         "-o", plan, cpu="baseline")
    assert tomllib.loads(plan.read_text())["layer"][0]["call"] == [{"kernel": "i2s_scalar"}]


def test_dry_run_lists_candidates_and_writes_nothing(tritbench, small, tmp_path):
    done = tune(tritbench, "-m", small, "-t", "1", "--dry-run", "-o", tmp_path / "plan.toml")
    assert "i2r_" in done.stdout and "ffn_down 256x512" in done.stdout
    assert "_scalar" not in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "flags, expected",
    [
        (["-m", "MODEL", "-k", "no_such_*"], "matches no kernel"),
        (["-m", "MODEL", "-k", "f16_*"], "none of them may race"),
        (["--shape", "0x128"], "--shape"),
        (["--shape", "128"], "--shape"),
        (["--shape", "33x130", "-k", "iq2_bn_r4_*", "--allow", "half"], "33x130: no kernel"),
        ([], "either a model (-m FILE) or shapes"),
        (["-m", "MODEL", "--shape", "128x128"], "either a model"),
        (["-m", "MODEL", "--for", "speed"], "decode, prefill or balanced"),
        (["-m", "MODEL", "--budget", "soon"], "--budget"),
        (["-m", "MODEL", "--budget", "-3s"], "--budget"),
        (["-m", "MODEL", "-b", "8,1"], "ascend"),
        (["-m", "MODEL", "--allow", "anything"], "bounded or half"),
        (["-m", "/nonexistent.gguf"], "/nonexistent.gguf"),
    ],
)
def test_bad_usage_is_one_line(tritbench, small, tmp_path, flags, expected):
    flags = [str(small) if f == "MODEL" else f for f in flags]
    assert expected in refusal(tritbench, *flags, "-t", "1", "-o", tmp_path / "plan.toml")
    assert list(tmp_path.iterdir()) == []


def test_output_is_asked_for_before_the_search(tritbench, small):
    assert "-o FILE" in refusal(tritbench, "-m", small, "-t", "1")
    assert "/nonexistent/plan.toml" in refusal(tritbench, "-m", small, "-t", "1", "-o",
                                               "/nonexistent/plan.toml")


def test_an_interrupt_leaves_no_file(tritbench, tmp_path):
    command = [tritbench, "tune", "--shape", "2560x2560", "-t", "1", "--budget", "100s",
               "-o", str(tmp_path / "plan.toml")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert "about" in process.stderr.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert "nothing written" in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []
