"""REINFORCE on EnvPool's Pong from pixels, as the third deck has it: 200 units, differences of 80 × 80.

python experiments/reinforce_envpool_pong.py
python experiments/reinforce_envpool_pong.py --total-steps 200000 --num-epochs 4

Of the grey screen the field between the walls is kept, every second row and column of it, 1 for paddles and
ball on the two backgrounds, and the frame before is taken off. The actions are up and down, and each point
is an episode, so that rewards are credited to what was done since the last point.
"""

import sys

from purejaxrl import command_line
from purejaxrl.agents import reinforce

OPTIONS = (
    "gray_scale=True",
    "stack_num=1",
    "img_height=210",
    "img_width=160",
    "allowed_actions=2,3",
    "crop=35,195,0,160",
    "downsample=2",
    "background=87,107",
    "difference=True",
    "end_at_reward=True",
)

if __name__ == "__main__":
    sys.exit(
        command_line.main(
            reinforce, environment="envpool:Pong-v5", preset="pong", num_seeds=1, environment_options=OPTIONS
        )
    )
