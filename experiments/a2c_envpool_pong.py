"""A2C on EnvPool's Pong from pixels: 16 environments a seed, 4 frames stacked.

python experiments/a2c_envpool_pong.py --num-seeds 1 --total-steps 2000000
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import a2c

if __name__ == "__main__":
    sys.exit(command_line.main(a2c, environment="envpool:Pong-v5", preset="atari", num_seeds=1))
