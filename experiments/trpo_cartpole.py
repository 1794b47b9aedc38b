"""TRPO on CartPole-v1: natural gradients, each within its bound.

python experiments/trpo_cartpole.py --num-seeds 8 --config.max-kl 0.02
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import trpo

if __name__ == "__main__":
    sys.exit(command_line.main(trpo, environment="CartPole-v1", preset="zoo"))
