"""DQN on Catch, with its knobs: a taller board, faster balls, more of them, noise.

python experiments/dqn_catch.py --environment-options rows=12 columns=7 noise=0.05
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import dqn

if __name__ == "__main__":
    sys.exit(
        command_line.main(dqn, environment="Catch", preset="parallel", total_steps=210_000, num_epochs=20)
    )
