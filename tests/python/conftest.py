"""What all Python tests share: the binary under test and the plots package."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "plots"))


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes a minute with a sanitizer; ./run-tests --quick leaves it out")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def tritbench() -> str:
    """Path of the binary under test: TRITBENCH_BIN, else the release build."""
    path = Path(os.environ.get("TRITBENCH_BIN", ROOT / "build" / "release" / "tritbench")).resolve()
    if not os.access(path, os.X_OK):
        pytest.fail(f"{path}: no such program; build it (./run-tests does) or set TRITBENCH_BIN")
    return str(path)
