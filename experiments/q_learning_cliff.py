"""Tabular Q-learning and SARSA on the cliff, and their relatives.

python experiments/q_learning_cliff.py --config.target sarsa --total-steps 20001
python experiments/q_learning_cliff.py --config.target sarsa --config.n-step 3 --total-steps 20003

Steps beyond an update's own, which SARSA waits for, come before the first update and so on top of the total.
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import q_learning

if __name__ == "__main__":
    sys.exit(command_line.main(q_learning, environment="CliffWalking", preset="cliff"))
