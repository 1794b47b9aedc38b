"""A2C on CartPole-v1 at rl-baselines3-zoo's settings, many seeds at once.

python experiments/a2c_cartpole.py --num-seeds 32 --config.gae-lambda 0.95
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import a2c

if __name__ == "__main__":
    sys.exit(command_line.main(a2c, environment="CartPole-v1", preset="zoo"))
