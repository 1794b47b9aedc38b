"""A3C on CartPole-v1: workers with stale copies, whose order is drawn from the key.

python experiments/a3c_cartpole.py --config.workers 4 --config.synchronise-every 2
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import a3c

if __name__ == "__main__":
    sys.exit(command_line.main(a3c, environment="CartPole-v1", preset="eight"))
