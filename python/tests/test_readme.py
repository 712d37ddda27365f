"""The tour of the README, run from its first line to its last."""

import re
import shutil
import warnings
from pathlib import Path

import pytest

from test_data import folder  # noqa: F401 - a fixture

HERE = Path(__file__).parent


def test_the_tour_runs(folder, monkeypatch, tmp_path):  # noqa: F811
    for name in ("pandas", "pettingzoo", "minari", "h5py"):
        pytest.importorskip(name)
    [tour] = re.findall(r"```python\n(.*?)```", (HERE.parent / "README.md").read_text(), re.S)
    work = tmp_path / "work"
    shutil.copytree(folder, work / "runs", ignore=shutil.ignore_patterns("work"))
    shutil.copy(HERE / "golden" / "sac-push.safetensors", work / "push-tdrp-s0.safetensors")
    monkeypatch.chdir(work)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    warnings.simplefilter("ignore")
    said = {}
    exec(tour.replace("episodes=100", "episodes=2"), said)  # noqa: S102
    assert said["frame"].shape == (360, 480, 3) and said["paid"].shape == (100, 4)
    assert said["action"].shape == (64, 4) and len(said["episodes"]) == 2
