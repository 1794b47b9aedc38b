"""Importing the library is cheap: what is heavy is imported where it is used."""

import subprocess
import sys

HEAVY = (
    *("envpool", "matplotlib", "sklearn", "tyro", "pandas"),
    *("orbax.checkpoint", "mujoco", "tensorboardX", "wandb"),
)


def test_import_brings_nothing_heavy_and_starts_no_backend():
    program = (
        "import sys, purejaxrl, purejaxrl.agents.dqn, purejaxrl.training\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "from jax._src import xla_bridge\n"
        "sys.exit(f'{heavy=}') if heavy else None\n"
        "sys.exit('a backend was started') if xla_bridge._backends else None\n"
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert outcome.returncode == 0, outcome.stderr


def test_import_costs_little_beside_jax_and_flax():
    program = (
        "import time\n"
        "start = time.perf_counter(); import jax, flax.linen, optax; theirs = time.perf_counter() - start\n"
        "start = time.perf_counter(); import purejaxrl; ours = time.perf_counter() - start\n"
        "print(ours / theirs)\n"
    )
    outcomes = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
        for _ in range(3)
    ]
    ratios = sorted(float(outcome.stdout) for outcome in outcomes)
    print(f"import purejaxrl takes {ratios} of the time of jax and flax")
    assert ratios[0] < 0.5  # 0.06 on a quiet machine
