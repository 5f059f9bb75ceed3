"""quickstart, run-tests, .ci/run and what they share, as far as that can be tried in seconds."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

SCRIPTS = ["quickstart", "run-tests", "scripts/find-python", ".ci/run"]


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize("script", ["quickstart", "run-tests"])
def test_help_and_unknown_options(root, script, tmp_path):
    done = run([root / script, "--help"], cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith(f"Usage: ./{script}")
    done = run([root / script, "--frobnicate"], cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"{script}: unknown option --frobnicate (try --help)\n"


def test_every_ci_leg_has_a_budget_and_the_sum_is_kept(root):
    text = (root / ".ci" / "run").read_text()
    legs = re.search(r"ALL_LEGS=\((.*)\)", text).group(1).split()
    budget = dict(re.findall(r"^\| ([\w-]+) \| (\d+) \|", (root / ".ci" / "BUDGET.md").read_text(),
                             re.MULTILINE))
    by_name = ["tidy"]  # longer than what is left of the 40 minutes
    assert set(legs + by_name) == set(budget)
    assert set(legs + by_name) == set(re.findall(r"^leg_([\w-]+)\(\)", text, re.MULTILINE))
    assert sum(int(budget[leg]) for leg in legs) < 40
    assert legs[-1] == "tests"  # its summary lines must be the last ones


def test_scripts_are_clean_under_shellcheck(root):
    if not shutil.which("shellcheck"):
        pytest.skip("no shellcheck here; .ci/run installs it")
    done = run(["shellcheck", "-x", *SCRIPTS, "scripts/setup.sh"], cwd=root)
    assert done.returncode == 0, done.stdout


def test_find_python_names_what_is_missing(root):
    done = run([root / "scripts" / "find-python", "--no-venv", "no_such_module_x"])
    assert done.returncode == 2 and done.stdout == ""
    assert "no_such_module_x" in done.stderr
    done = run([root / "scripts" / "find-python", "--no-venv", "sys"])
    assert done.returncode == 0
    assert run([done.stdout.strip(), "-c", "print(6 * 7)"]).stdout == "42\n"


def shell(root, text):
    return ["bash", "-c", f'set -euo pipefail; ROOT=$1; . "$ROOT/scripts/setup.sh"; {text}', "unit",
            str(root)]


def test_missing_things_are_named_before_anything_is_installed(root, tmp_path):
    for tool in ("bash", "sed", "head", "sort", "grep", "cat", "dirname", "id"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    bare = {"PATH": str(tmp_path), "CXX": "no-such-c++"}
    done = run(shell(root, "ensure_needs build 1"), env=bare)
    assert done.returncode == 2
    for word in ("there is no apt-get", "command g++", "cmake, 3.25 or later", "command ninja",
                 "CLI/CLI.hpp", "apt-get install -y"):
        assert word in done.stderr, word


def test_what_nothing_depends_on_may_be_missing(root):
    fake = "check_needs() { MISSING_PACKAGES=(%s); MISSING_TEXTS=(x); }; ensure_needs tests 0"
    done = run(shell(root, fake % "ccache libbenchmark-dev"))
    assert done.returncode == 0 and "going on without ccache libbenchmark-dev" in done.stdout
    done = run(shell(root, fake % "libbenchmark-dev ninja-build"))
    assert done.returncode == 2 and "told not to install" in done.stderr


CHILD = """
import signal, sys, time
caught = []
signal.signal(signal.SIGINT, lambda *_: caught.append(1))
print("ready", flush=True)
end = time.monotonic() + 30
while not caught and time.monotonic() < end:
    time.sleep(0.01)
time.sleep(0.2)  # a second signal would come now
print("signals", len(caught), flush=True)
"""


@pytest.mark.parametrize("whole_group", [False, True])
def test_an_interrupt_reaches_the_child_once_and_its_end_is_awaited(root, tmp_path, whole_group):
    (tmp_path / "child.py").write_text(CHILD)
    process = subprocess.Popen(
        shell(root, f'code=0; run_child "{sys.executable}" "{tmp_path}/child.py" || code=$?; '
                    'echo "code $code signal $SETUP_SIGNAL"'),
        stdout=subprocess.PIPE, text=True, start_new_session=True,
        # A shell cannot trap what it was started without: these tests may run in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert process.stdout.readline() == "ready\n"
    if whole_group:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert out == "signals 1\ncode 130 signal INT\n"
    assert process.returncode == 0


def test_run_child_passes_on_exit_codes(root):
    done = run(shell(root, 'code=0; run_child bash -c "exit 3" || code=$?; echo "$code"'))
    assert done.stdout == "3\n"
