"""Evolution strategies on CartPole-v1: no gradient of the network is taken.

python experiments/evolution_strategies_cartpole.py --config.shaping standard
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import evolution_strategies

if __name__ == "__main__":
    sys.exit(command_line.main(evolution_strategies, environment="CartPole-v1", preset="classic"))
