"""A recurrent Q-network on CartPole without velocities, which one observation does not show.

python experiments/drqn_cartpole.py --config.cell gru --config.burn-in 8
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import drqn

if __name__ == "__main__":
    sys.exit(command_line.main(drqn, environment="CartPoleNoVel-v1", preset="classic"))
