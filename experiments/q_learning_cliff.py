"""Tabular Q-learning and SARSA on the cliff, and their relatives.

python experiments/q_learning_cliff.py --config.target sarsa --total-steps 20001
python experiments/q_learning_cliff.py --config.target sarsa --config.n-step 3 --total-steps 20003

SARSA waits for one step more than Q-learning before it learns, and n-step targets for n - 1 more: the total
has these on top of the steps that the epochs share.
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import q_learning

if __name__ == "__main__":
    sys.exit(command_line.main(q_learning, environment="CliffWalking", preset="cliff"))
