"""DQN on CartPole-v1 at CleanRL's settings, many seeds at once.

python experiments/dqn_cartpole.py --num-seeds 64 --seed 7 --config.learning-rate 1e-3
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import dqn

if __name__ == "__main__":
    sys.exit(command_line.main(dqn, environment="CartPole-v1", preset="cleanrl"))
