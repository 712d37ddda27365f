"""What the tests share."""

import warnings

import gymnasium
import pytest

import rlx  # noqa: F401 - registers

IDS = sorted(id for id in gymnasium.registry if id.startswith("rlx/"))
GOALS = [id for id in IDS if id.split("/")[1].split("-")[0] in "Reach Push Slide PickPlace Lift Stack Flip".split()]


@pytest.fixture(autouse=True)
def no_warnings():
    """A warning is a failure where a test does not ask for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Others' own, which no world of this package causes.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*fork.*")
        yield
