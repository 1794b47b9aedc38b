"""REINFORCE on CartPole-v1, with any of the third deck's baselines.

python experiments/reinforce_cartpole.py --config.baseline constant --num-seeds 8
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import reinforce

if __name__ == "__main__":
    sys.exit(command_line.main(reinforce, environment="CartPole-v1", preset="vanilla"))
