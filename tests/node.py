"""JavaScript tests of the page and the player, run under Node."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

NODE = shutil.which("node")


def major() -> int:
    if NODE is None:
        return 0
    said = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.strip().lstrip("v").split(".")[0])


needs_node = pytest.mark.skipif(major() < 18, reason="needs Node 18 or newer, which is not on this machine")


def run(file: Path, **env: str) -> None:
    """Fails with what Node printed, also when the file holds no test."""
    command = [NODE or "node", "--test", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | env)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    assert "# fail 0" in ran.stdout and "# pass 0" not in ran.stdout
