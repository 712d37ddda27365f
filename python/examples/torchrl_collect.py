"""TorchRL's collector on rlx's own vector and on a single world: `python torchrl_collect.py`."""

import gymnasium
from torchrl.collectors import Collector
from torchrl.envs import GymWrapper
from torchrl.envs.utils import check_env_specs

import rlx  # noqa: F401 - registers


def collect(frames=2000):
    single = GymWrapper(gymnasium.make("rlx/Pendulum-v1"))
    check_env_specs(single)
    # TorchRL refuses Gymnasium's default, NEXT_STEP.
    envs = GymWrapper(gymnasium.make_vec("rlx/CartPole-v1", num_envs=4, autoreset_mode="SameStep"))
    collector = Collector(envs, None, frames_per_batch=400, total_frames=frames)
    batches = list(collector)
    collector.shutdown()
    return batches


if __name__ == "__main__":
    for batch in collect():
        print(tuple(batch.batch_size), float(batch["next", "reward"].sum()), int(batch["next", "done"].sum()))
