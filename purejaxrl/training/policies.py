"""Policies of a run that is on disk, taken out of it to act elsewhere: the agents, and nothing else of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl import checks, environments
from purejaxrl.environments import VectorEnvironment
from purejaxrl.environments.options import separate
from purejaxrl.training import checkpoints as checkpoints_
from purejaxrl.training import seeds as seeds_
from purejaxrl.training import sweeps
from purejaxrl.training.experiment import Experiment, parse_options
from purejaxrl.training.loop import Loop, Runner
from purejaxrl.training.reading import Run, read_run
from purejaxrl.training.rebuild import experiment_from
from purejaxrl.training.record import StorageError
from purejaxrl.types import Array, InvalidInput, Key, PyTree


@dataclasses.dataclass(frozen=True)
class Policies:
    """The agents of every member of a run, as they were after an epoch."""

    experiment: Experiment[Any]
    epoch: int
    agents: PyTree  # [members]
    statistics: PyTree  # [members], what observations are normalised by; {} where they are not
    alive: np.ndarray  # [members], whose numbers were finite


@dataclasses.dataclass(frozen=True)
class Episodes:
    """Episodes of the greedy policies of a run, ``[members, episodes]``."""

    finished: np.ndarray
    returns: np.ndarray  # NaN where an episode did not finish within the steps allowed
    lengths: np.ndarray  # likewise


def load_policies(folder: Path, checkpoint: Literal["last", "best"] | int = "last") -> Policies:
    """Reads the agents of a run from one of its checkpoints, replay buffers left aside.

    Args:
        folder: the run's. A process may be at it.
        checkpoint: the last one, that of the highest mean return, or that of an epoch.

    Raises:
        InvalidInput: there is no such checkpoint, or this version of the library makes another agent of
            the run's record.
        StorageError: the checkpoint cannot be read.
    """
    run = read_run(folder)
    if not run.description:
        raise InvalidInput(f"{folder}: {'; '.join(run.problems) or 'experiment.json: there is none'}")
    epoch = _epoch(run, checkpoint)
    experiment = experiment_from(run.description)
    agents, known = _read_agents(folder, epoch, *_shapes(experiment), experiment.num_members)
    alive = np.ones(experiment.num_members, bool)
    if run.curves and epoch < run.curves["alive"].shape[1]:
        alive = run.curves["alive"][:, epoch] == 1
    return Policies(experiment, epoch, agents, known, alive)


def evaluate(
    policies: Policies,
    environment: str | None = None,
    environment_options: Sequence[str] = (),
    *,
    episodes: int = 100,
    steps: int | None = None,
    seed: int = 0,
) -> Episodes:
    """The first episode of each of ``episodes`` environments, for every member's greedy policy.

    Args:
        policies: what :func:`load_policies` gave.
        environment: where to act; None takes the run's own.
        environment_options: its knobs, each as name=value. In the run's own they go on top of those that
            the run, or a point of its sweep, had.
        episodes: how many, of each member.
        steps: after which an episode is given up; None takes the environment's limit, or 1000.
        seed: root of the environments' randomness. Seed i of every point meets the same episodes as long as
            the environment is the same.

    Raises:
        InvalidInput: something given cannot work, or the environment's spaces are not those of the run's.
    """
    for name, value in (("episodes", episodes), ("steps", steps)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise InvalidInput(f"{name} must be a whole number of at least 1, not {value!r}")
    experiment = policies.experiment
    places = _environments(experiment, environment, tuple(environment_options))
    loop = experiment.loop()
    for place in places:
        _check_spaces(loop.environment, place, environment or experiment.environment)
    settings = dataclasses.replace(
        loop.settings, evaluation_episodes=episodes, evaluation_steps=steps or loop.settings.evaluation_steps
    )
    if steps is None and environment is not None:
        settings = dataclasses.replace(settings, evaluation_steps=None)  # the other environment's own limit
    loop = Loop(loop.agent, loop.config, places[0], settings)

    def play(member: tuple[PyTree, PyTree, Any, Key]) -> tuple[Array, Array, Array]:
        agent, known, place, key = member
        finished, episode = loop.evaluate(acting(agent, place, key, known), jnp.int32(0))
        return finished, episode.episode_return, episode.episode_length

    number = experiment.num_seeds
    keys = seeds_.keys(seed, number)[jnp.arange(experiment.num_members) % number]
    stacked = jax.tree.map(lambda *leaves: jnp.repeat(jnp.stack(leaves), number, axis=0), *places)
    ffi = environments.resumable(places[0]) == "never"  # has one pool in a program, which all seeds share
    mesh = seeds_.mesh(1 if ffi else min(jax.local_device_count(), experiment.num_members))
    mode = "vmap" if ffi else seeds_.resolve("auto")
    members = seeds_.place(seeds_.pad((policies.agents, policies.statistics, stacked, keys), mesh), mesh)
    played = jax.jit(seeds_.over_seeds(play, mode, mesh))(members)
    finished, returns, lengths = (np.asarray(each) for each in seeds_.first(played, experiment.num_members))
    return Episodes(
        finished, np.where(finished, returns, np.nan), np.where(finished, lengths.astype(float), np.nan)
    )


def acting(agent: PyTree, environment: Any, evaluation_key: Any, known: PyTree) -> Runner:
    """A Runner with what an evaluation looks at, and nothing else."""
    nothing: Any = None
    return Runner(
        agent=agent,
        environment=environment,
        environment_state=known,
        observation=nothing,
        carry=nothing,
        memory=nothing,
        key=nothing,
        update_key=nothing,
        evaluation_key=evaluation_key,
        episode_key=nothing,
    )


def _epoch(run: Run, checkpoint: Literal["last", "best"] | int) -> int:
    """The epoch of the checkpoint that is meant."""
    there = run.checkpoints
    if not there:
        raise InvalidInput(f"{run.folder} has no checkpoint")
    if checkpoint == "best" and run.best_checkpoint is None:
        raise InvalidInput(f"{run.folder} has no checkpoint with a return, by which the best is known")
    epoch = {"last": there[-1], "best": run.best_checkpoint}.get(checkpoint, checkpoint)  # type: ignore[arg-type]
    if epoch not in there:
        known = ", ".join(map(str, there))
        raise InvalidInput(f"{run.folder} has no checkpoint {epoch}; it has last, best and {known}")
    return int(epoch)


def _shapes(experiment: Experiment[Any]) -> tuple[PyTree, PyTree]:
    """Shapes of one member's agent, and of what its observations are normalised by."""
    loop = experiment.loop()
    place = loop.environment
    agent = jax.eval_shape(
        lambda key, config: loop.agent.init(key, config, place.observation_space, place.action_space),
        jax.random.key(0),
        checks.as_leaves(loop.config),
    )
    state, _ = jax.eval_shape(place.reset, jax.random.key(0))
    return agent, environments.statistics(state)


def _read_agents(
    folder: Path, epoch: int, agent: PyTree, known: PyTree, num_members: int
) -> tuple[PyTree, PyTree]:
    """The agents of a checkpoint, and what they normalise by, ``[members]``, on the default device."""
    import orbax.checkpoint as ocp

    # Not through the manager of the run's checkpoints: that one tidies up, and the run may be going on.
    path = folder.absolute() / checkpoints_.FOLDER / str(epoch)
    try:
        meta = json.loads((path / "meta" / "metadata").read_text())
        meta = checkpoints_.checked(meta)
        saved = {name: kind for name, kind in meta["leaves"].items() if name.startswith("agent")}
        rows, digests = meta["rows"], meta["agent_digests"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError, StorageError) as error:
        raise StorageError(f"checkpoint {epoch} of {folder} cannot be read: {error}") from error
    stored, stored_known = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((rows, *leaf.shape), leaf.dtype), (agent, known)
    )
    runner = acting(stored, None, None, stored_known)
    expected = checkpoints_.describe_leaves(checkpoints_.name_leaves(runner))
    expected = {name: kind for name, kind in expected.items() if name.startswith("agent")}
    different = checkpoints_.differing_leaves(saved, expected)
    if different:
        raise InvalidInput(
            f"checkpoint {epoch} of {folder} has another agent than this version of the library makes:"
            f" {'; '.join(different[:3])}"
        )
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    flat, structure = jax.tree.flatten(checkpoints_.split_leaves(runner)["agent"])
    target = checkpoints_.as_data_shapes(flat, [device] * len(flat))
    try:
        with ocp.StandardCheckpointer() as reader:
            read = reader.restore(path / "agent", target)
    except Exception as error:  # whatever a damaged file makes its reader say
        reason = checkpoints_.first_line(error)
        raise StorageError(f"checkpoint {epoch} of {folder} cannot be read: {reason}") from error
    both = jax.tree.unflatten(structure, checkpoints_.from_data(read, flat))
    agents, found = both if known else (both, {})
    named = checkpoints_.name_leaves(acting(agents, None, None, found))["agent"]
    if checkpoints_.digest_members(named, num_members) != digests:
        raise StorageError(f"checkpoint {epoch} of {folder} is damaged: its agents are not those saved")
    return seeds_.first((agents, found), num_members)


def _environments(
    experiment: Experiment[Any], name: str | None, options: tuple[str, ...]
) -> list[VectorEnvironment[Any]]:
    """Where the members of each point are to act, ``[points]``."""
    made = []
    for point in experiment.points:
        own = sweeps.apply(point, experiment.config, experiment.settings, experiment.environment_options)[2]
        given = parse_options(own)
        if name is not None:  # another's knobs are its own, but a policy needs the wrappers that it learnt in
            given, _ = separate(given)
        given |= parse_options(options)
        num_envs = experiment.loop(point).settings.num_envs
        made.append(environments.make(name or experiment.environment, num_envs=num_envs, **given))
    return made


def _check_spaces(own: VectorEnvironment[Any], other: VectorEnvironment[Any], name: str) -> None:
    """Raises InvalidInput where an agent that learnt in ``own`` cannot act in ``other``."""
    for what, a, b in (
        ("observations", own.observation_space, other.observation_space),
        ("actions", own.action_space, other.action_space),
    ):
        if not fits(a, b, bounds=what == "actions"):
            raise InvalidInput(f"{name} has the {what} {b}; the run's policies know {a}")


def fits(a: gymnasium.Space[Any], b: gymnasium.Space[Any], bounds: bool) -> bool:
    """Whether what lies in one space may be taken for something in another.

    The bounds of observations are left aside: they differ between makers of one environment, and no network
    looks at them. Those of actions count, since policies scale by them.
    """
    if isinstance(a, gymnasium.spaces.Box) and isinstance(b, gymnasium.spaces.Box):
        same = a.shape == b.shape and a.dtype == b.dtype
        return same and (not bounds or (np.allclose(a.low, b.low) and np.allclose(a.high, b.high)))
    return a == b
