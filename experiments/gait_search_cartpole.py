"""The AIBO's gait search on CartPole-v1.

python experiments/gait_search_cartpole.py --config.epsilon 0.05
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import gait_search

if __name__ == "__main__":
    sys.exit(command_line.main(gait_search, environment="CartPole-v1", preset="classic"))
