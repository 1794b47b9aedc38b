"""Augmented random search on CartPole-v1, of a linear policy.

python experiments/random_search_cartpole.py --config.learning-rate 0.02
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import random_search

if __name__ == "__main__":
    sys.exit(command_line.main(random_search, environment="CartPole-v1", preset="classic"))
