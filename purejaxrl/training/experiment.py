"""An experiment is a value: run twice, it gives the same numbers twice."""

from __future__ import annotations

import ast
import dataclasses
import functools
from types import ModuleType
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp

from purejaxrl import environments
from purejaxrl.training import seeds as seeds_
from purejaxrl.training.loop import Loop
from purejaxrl.training.settings import Settings
from purejaxrl.types import InvalidInput, Key, Metrics, PyTree

C = TypeVar("C")


@dataclasses.dataclass(frozen=True)
class Experiment(Generic[C]):
    """What to run: an agent in an environment, for how long, with which seeds."""

    agent: ModuleType
    """The algorithm, a module of purejaxrl.agents."""
    config: C
    """Its hyperparameters."""
    environment: str
    """Where it learns: a name that purejaxrl.make takes, such as CartPole-v1 or envpool:Pong-v5."""
    settings: Settings
    """How much of everything."""
    environment_options: tuple[str, ...] = ()
    """Knobs of the environment, each as name=value, such as rows=8."""
    num_seeds: int = 16
    """Independent runs in one compiled program."""
    seed: int = 0
    """Root of every random number: seed i draws from fold_in(key(seed), i)."""
    seeds: seeds_.Seeds = "auto"
    """vmap steps the seeds together; map takes one after another, each with the bits it has alone; auto is
    map on a CPU and vmap elsewhere."""
    devices: int | None = None
    """Devices to share the seeds among; None takes all there are."""

    @property
    def name(self) -> str:
        """A name fit for a folder."""
        environment = self.environment.replace(":", "-").replace("/", "-").lower()
        return f"{self.agent.__name__.rpartition('.')[2]}-{environment}"

    def loop(self) -> Loop:
        """The pure functions of one seed.

        Raises:
            InvalidInput: something in the experiment cannot work; nothing has been compiled.
        """
        environment = environments.make(
            self.environment, num_envs=self.settings.num_envs, **parse_options(self.environment_options)
        )
        loop = Loop(self.agent, self.config, environment, self.settings)  # type: ignore[arg-type]
        loop.check()
        return loop


@dataclasses.dataclass(frozen=True)
class Programs:
    """An experiment's pure functions, lifted to all of its seeds and ready to compile.

    ``keys`` has the seeds padded to what the devices divide; :func:`purejaxrl.training.seeds.first`
    drops the padding from any result.
    """

    loop: Loop
    mesh: jax.sharding.Mesh
    seeds: str
    keys: Key
    begin: Any  # keys -> runners, metrics
    epoch: Any  # runners, index -> runners, metrics; takes the runners' memory over
    train: Any  # keys -> runners, metrics


def programs(experiment: Experiment[Any]) -> Programs:
    """Checks an experiment and makes its programs. Nothing is compiled yet.

    Raises:
        InvalidInput: something in the experiment cannot work.
    """
    loop = experiment.loop()
    keys = seeds_.keys(experiment.seed, experiment.num_seeds)
    devices = experiment.devices
    if devices is None:
        devices = min(jax.local_device_count(), experiment.num_seeds)
    mesh = seeds_.mesh(devices)
    mode = seeds_.resolve(experiment.seeds)
    # With map each seed has simulators of its own, and each device evaluates a seed at a time.
    environments.reserve_pools(len(keys) + 2 * mesh.size)
    lift = functools.partial(seeds_.over_seeds, seeds=mode, mesh=mesh)

    def train(keys: Key) -> tuple[PyTree, Metrics]:
        # The parts are lifted one by one, with a barrier between them, so that the epochs see what
        # they see in a program of their own: hyperparameters that are data, with a seed axis. Folded
        # into the mathematics as constants, or shared by all seeds, they would round differently.
        runners, warmup = jax.lax.optimization_barrier(lift(loop.begin)(keys))
        runners, epochs = lift(loop.epochs)(runners)
        return runners, jax.tree.map(lambda a, b: jnp.concatenate([a[:, None], b], axis=1), warmup, epochs)

    return Programs(
        loop=loop,
        mesh=mesh,
        seeds=mode,
        keys=seeds_.place(seeds_.pad(keys, mesh), mesh),
        begin=jax.jit(lift(loop.begin)),
        epoch=jax.jit(lift(loop.epoch), donate_argnums=0),
        train=jax.jit(train),
    )


def train(experiment: Experiment[Any]) -> tuple[PyTree, Metrics]:
    """The whole experiment as one compiled call.

    Returns:
        The final :class:`~purejaxrl.training.loop.Runner` of every seed, and Metrics
        ``[num_seeds, 1 + num_epochs]``, the first of each row after the warm-up.

    Raises:
        InvalidInput: something in the experiment cannot work; nothing has been compiled.
    """
    made = programs(experiment)
    return seeds_.first(made.train(made.keys), experiment.num_seeds)


def parse_options(options: tuple[str, ...]) -> dict[str, Any]:
    """Turns ``("rows=8", "observation=vector")`` into keyword arguments, numbers as numbers."""
    parsed: dict[str, Any] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or not name.isidentifier():
            raise InvalidInput(f"an environment option is written name=value, not {option!r}")
        if name in ("name", "num_envs"):
            raise InvalidInput(f"{name} is not an environment option: it has a setting of its own")
        try:
            parsed[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError):
            parsed[name] = value
    return parsed
