#!/usr/bin/env python3
"""How much memory several processes take that run one mapped model.

    scripts/shared-memory.py MODEL.gguf [-n 10] [--plan NAME] [--head TYPE] [--json]

Starts N `tritbench logits`, each of which has loaded the model, multiplied with all of it, and now
waits for someone to read what it found. Of each, /proc/PID/smaps_rollup says what is resident (Rss)
and the process's share of it, pages that several have divided among them (Pss): the sum of the
latter is the memory that they take together.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 600


def memory_of(pid: int) -> dict[str, int]:
    """Bytes by field of smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(value.split()[0]) * 1024 for name, value in (line.split(":") for line in lines)}


def wait_until_done(process: subprocess.Popen, messages) -> None:
    """Its first byte of output comes when the model has run; the rest does not fit the pipe."""
    ready, _, _ = select.select([process.stdout], [], [], PATIENCE_S)
    if ready and process.stdout.peek(1):
        return
    messages.seek(0)
    last = messages.read().decode(errors="replace").splitlines()[-1:]
    raise SystemExit(f"shared-memory: {' '.join(process.args)}: ended early: " + (
        last[0] if last else "expected a model of at least 16384 tokens in its vocabulary"))


def measure(tritbench: str, model: Path, processes: int, flags: list[str]) -> dict:
    command = [tritbench, "logits", "-m", str(model), "--tokens", "1,2,3", "-t", "1", *flags]
    running = []
    with tempfile.TemporaryFile() as messages:
        try:
            for _ in range(processes):
                running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=messages))
            for process in running:
                wait_until_done(process, messages)
            each = [memory_of(process.pid) for process in running]
        finally:
            for process in running:
                process.kill()
                process.wait()
                process.stdout.close()
    return {
        "model": str(model),
        "file_bytes": model.stat().st_size,
        "processes": processes,
        "rss_bytes": sum(memory["Rss"] for memory in each),
        "pss_bytes": sum(memory["Pss"] for memory in each),
        "private_bytes": max(memory["Private_Clean"] + memory["Private_Dirty"] for memory in each),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("-n", "--processes", type=int, default=10)
    parser.add_argument("--plan", default="stored", help="as tritbench takes it (default: stored, which maps the file)")
    parser.add_argument("--head", default="stored", help="the same")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.model.is_file():
        sys.exit(f"shared-memory: {arguments.model}: no such file; expected a GGUF model")
    tritbench = os.environ.get("TRITBENCH_BIN", str(ROOT / "build" / "release" / "tritbench"))
    flags = ["--plan", arguments.plan, "--head", arguments.head]
    found = measure(tritbench, arguments.model, arguments.processes, flags)
    if arguments.json:
        print(json.dumps(found))
        return
    for name in ("file_bytes", "rss_bytes", "pss_bytes", "private_bytes"):
        print(f"{name.removesuffix('_bytes'):8}{found[name] / 1e6:10.1f} MB")


if __name__ == "__main__":
    main()
