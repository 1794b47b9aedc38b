"""Environments: our own in JAX, and bridges to EnvPool and gymnasium, behind one face."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import jax
import numpy as np

from purejaxrl.environments.acrobot import Acrobot
from purejaxrl.environments.bandit import Bandit, bsuite_bandit
from purejaxrl.environments.base import (
    Environment,
    VectorEnvironment,
    check_num_envs,
    unknown_environment,
    vectorise,
)
from purejaxrl.environments.cartpole import CartPole
from purejaxrl.environments.catch import Catch
from purejaxrl.environments.cliff_walking import CliffWalking
from purejaxrl.environments.deep_sea import DeepSea
from purejaxrl.environments.envpool_ffi import FfiEnvironment
from purejaxrl.environments.four_rooms import FourRooms
from purejaxrl.environments.host import HostEnvironment, release, reserve_pools
from purejaxrl.environments.knob_checks import check_rank
from purejaxrl.environments.masked import cartpole_without_velocities, pendulum_without_velocity
from purejaxrl.environments.memory_length import MemoryLength
from purejaxrl.environments.minatar_asterix import Asterix
from purejaxrl.environments.minatar_breakout import Breakout
from purejaxrl.environments.mountain_car import MountainCar, MountainCarContinuous
from purejaxrl.environments.normalisation import freeze, of_environments, statistics
from purejaxrl.environments.options import separate, to_simulator, wrap
from purejaxrl.environments.pendulum import Pendulum
from purejaxrl.environments.random_walk import RandomWalk, ShortCorridor
from purejaxrl.environments.windy_gridworld import WindyGridworld
from purejaxrl.environments.wrappers import begin, unwrapped
from purejaxrl.types import InvalidInput

__all__ = [
    "REGISTRY",
    "Environment",
    "VectorEnvironment",
    "begin",
    "for_evaluation",
    "make",
    "of_environments",
    "recording",
    "release",
    "reserve_pools",
    "resumable",
    "statistics",
    "unwrapped",
    "vectorise",
    "wrap",
]

E = TypeVar("E", bound=VectorEnvironment[Any])

REGISTRY: dict[str, Callable[..., Environment[Any]]] = {
    "Acrobot-v1": Acrobot,
    "Bandit": Bandit,
    "BsuiteBandit": bsuite_bandit,
    "CartPoleNoVel-v1": cartpole_without_velocities,
    "CartPole-v1": CartPole,
    "Catch": Catch,
    "CliffWalking": CliffWalking,
    "DeepSea": DeepSea,
    "FourRooms": FourRooms,
    "MemoryLength": MemoryLength,
    "MinAtar-Asterix": Asterix,
    "MinAtar-Breakout": Breakout,
    "MountainCar-v0": MountainCar,
    "MountainCarContinuous-v0": MountainCarContinuous,
    "Pendulum-v1": Pendulum,
    "PendulumNoVel-v1": pendulum_without_velocity,
    "RandomWalk": RandomWalk,
    "ShortCorridor": ShortCorridor,
    "WindyGridworld": WindyGridworld,
}


def make(name: str, num_envs: int = 1, **options: Any) -> VectorEnvironment[Any]:
    """Makes a batch of ``num_envs`` environments by name.

    Args:
        name: one of :data:`REGISTRY` (written in JAX), ``"envpool:ID"`` or ``"gymnasium:ID"``.
        num_envs: how many are stepped together.
        options: the environment's own knobs; for EnvPool and gymnasium also ``backend`` and
            ``num_threads``, and whatever their own makers take. Those of :func:`.options.wrap`
            (``frame_stack``, ``normalise_reward`` …) are taken for every environment; where a simulator has
            one of the same name, as EnvPool's MuJoCo has a ``frame_stack`` for images, that one
            is ``simulator_frame_stack``.

    Raises:
        InvalidInput: an unknown name (the message has the nearest known ones), an unknown option,
            or a ``num_envs`` below 1.
    """
    if not isinstance(name, str):
        raise InvalidInput(f"environments are known by their names, which are strings, not {name!r}")
    check_num_envs(num_envs)
    wrapping, own = separate(options)
    return wrap(_make(name, num_envs, own), **wrapping)


def _make(name: str, num_envs: int, options: dict[str, Any]) -> VectorEnvironment[Any]:
    if name.startswith("envpool:"):
        from purejaxrl.environments import envpool_bridge

        return envpool_bridge.make(name.removeprefix("envpool:"), num_envs, **to_simulator(options))
    if name.startswith("gymnasium:"):
        from purejaxrl.environments import gymnasium_bridge

        return gymnasium_bridge.make(name.removeprefix("gymnasium:"), num_envs, **to_simulator(options))
    if name not in REGISTRY:
        raise unknown_environment(name, list(REGISTRY), "environments in JAX")
    try:
        environment = REGISTRY[name](**options)
    except TypeError as error:
        raise InvalidInput(f"{name} does not take {options!r}: {error}") from error
    if any(np.ndim(value) for value in options.values()):
        ranks = {path: np.ndim(knob) for path, knob in knobs(REGISTRY[name]())}
        for path, knob in knobs(environment):
            check_rank(f"{name}'s {path.rpartition('.')[2]}", knob, ranks.get(path, np.ndim(knob)))
    return vectorise(environment, num_envs)


def knobs(environment: Environment[Any]) -> list[tuple[str, Any]]:
    """The knobs of an environment, each with its path."""
    leaves = jax.tree_util.tree_leaves_with_path(environment)
    return [(jax.tree_util.keystr(path), knob) for path, knob in leaves]


def resumable(environment: VectorEnvironment[Any]) -> Literal["exactly", "by replay", "never"]:
    """How a run in ``environment`` goes on from a checkpoint in another process.

    Returns:
        ``"exactly"``, its state being arrays alone; ``"by replay"`` of recorded actions
        (:func:`recording`, :func:`.host.take_record`, :func:`.host.replay`); or ``"never"``.
    """
    inside = unwrapped(environment)
    if isinstance(inside, FfiEnvironment):  # its state has the address of its pool
        return "never"
    return "by replay" if isinstance(inside, HostEnvironment) else "exactly"


def recording(environment: E) -> E:
    """The same environment, its simulators' actions recorded; one in JAX, which has none, as it is.

    Raises:
        InvalidInput: simulators that cannot be replayed, those of ``backend="ffi"``.
    """
    inside = unwrapped(environment)
    if isinstance(inside, FfiEnvironment):
        raise InvalidInput("backend='ffi' cannot be resumed elsewhere: use backend='callback'")
    if isinstance(inside, HostEnvironment):
        return environment.replace(recording=True)  # type: ignore[attr-defined]
    return environment


def for_evaluation(environment: VectorEnvironment[Any], num_envs: int) -> VectorEnvironment[Any]:
    """``num_envs`` of the same environments to evaluate in: nothing is recorded, statistics are frozen.

    Begin them with :func:`begin`, and with the training state's :func:`statistics`. The returns in
    ``TimeStep.episode`` are of rewards as they were paid, whatever wrappers make of them.

    Raises:
        InvalidInput: ``num_envs`` is not a positive whole number.
    """
    changes: dict[str, Any] = {"num_envs": check_num_envs(num_envs)}
    if isinstance(unwrapped(environment), HostEnvironment):
        changes["recording"] = False
    return freeze(environment).replace(**changes)
