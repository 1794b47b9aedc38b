"""Hill climbing with adaptive noise on CartPole-v1.

python experiments/hill_climbing_cartpole.py --config.noise 0.5
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import hill_climbing

if __name__ == "__main__":
    sys.exit(command_line.main(hill_climbing, environment="CartPole-v1", preset="classic"))
