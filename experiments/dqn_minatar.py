"""DQN on MinAtar's Breakout, with sticky actions; Rainbow by switching its parts on.

python experiments/dqn_minatar.py --environment MinAtar-Asterix --config.double --config.n-step 3
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import dqn

if __name__ == "__main__":
    sys.exit(command_line.main(dqn, environment="MinAtar-Breakout", preset="minatar", num_seeds=4))
