"""PQN on CartPole-v1: many environments and layer normalisation, no replay, no target network.

python experiments/pqn_cartpole.py --environment Acrobot-v1 --config.trace-decay 0.9
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import pqn

if __name__ == "__main__":
    sys.exit(command_line.main(pqn, environment="CartPole-v1", preset="cleanrl"))
