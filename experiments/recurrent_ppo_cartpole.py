"""PPO with an LSTM on CartPole without velocities, which have to be remembered.

python experiments/recurrent_ppo_cartpole.py --num-seeds 8 --config.cell gru
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import ppo

OPTIONS = ("normalise_observation=True", "normalise_reward=True", "reward_discount=0.98")

if __name__ == "__main__":
    sys.exit(
        command_line.main(
            ppo, environment="CartPoleNoVel-v1", preset="zoo-memory", environment_options=OPTIONS
        )
    )
