"""Finite differences on CartPole-v1: each parameter of a linear policy is moved on its own, both ways.

python experiments/finite_differences_cartpole.py --num-seeds 4
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import finite_differences

if __name__ == "__main__":
    sys.exit(command_line.main(finite_differences, environment="CartPole-v1", preset="cartpole"))
