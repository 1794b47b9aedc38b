"""DDPG on Pendulum-v1 at rl-baselines3-zoo's settings, many seeds at once.

python experiments/ddpg_pendulum.py --num-seeds 8 --config.noise-start 0.2
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import ddpg

if __name__ == "__main__":
    sys.exit(command_line.main(ddpg, environment="Pendulum-v1", preset="zoo", num_seeds=8))
