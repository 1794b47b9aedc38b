"""A genetic algorithm on CartPole-v1, with elites and crossover.

python experiments/genetic_cartpole.py --config.crossover 0
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import genetic

if __name__ == "__main__":
    sys.exit(command_line.main(genetic, environment="CartPole-v1", preset="classic"))
