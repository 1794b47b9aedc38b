"""The cross-entropy method on CartPole-v1.

python experiments/cross_entropy_cartpole.py --config.elites 16
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import cross_entropy

if __name__ == "__main__":
    sys.exit(command_line.main(cross_entropy, environment="CartPole-v1", preset="classic"))
