"""REINFORCE on Catch from pixels, with the network that the third deck has for Pong.

python experiments/reinforce_catch.py --num-seeds 8 --seeds vmap
python experiments/reinforce_catch.py --environment-options difference=True
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import reinforce

if __name__ == "__main__":
    sys.exit(command_line.main(reinforce, environment="Catch", preset="catch"))
