"""DDPG on EnvPool's HalfCheetah (MuJoCo).

python experiments/ddpg_envpool_halfcheetah.py --num-seeds 2 --total-steps 100000
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import ddpg

if __name__ == "__main__":
    sys.exit(
        command_line.main(
            ddpg, environment="envpool:HalfCheetah-v5", preset="zoo", num_seeds=2, total_steps=100_000
        )
    )
