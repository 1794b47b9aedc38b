"""PPO on CartPole-v1 at rl-baselines3-zoo's settings, many seeds at once.

python experiments/ppo_cartpole.py --num-seeds 32 --config.target-kl 0.02
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import ppo

if __name__ == "__main__":
    sys.exit(command_line.main(ppo, environment="CartPole-v1", preset="zoo"))
