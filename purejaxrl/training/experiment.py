"""An experiment is a value: run twice, it gives the same numbers twice."""

from __future__ import annotations

import ast
import dataclasses
import functools
from types import ModuleType
from typing import Any, Generic, Literal, TypeVar

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import NamedSharding, PartitionSpec

from purejaxrl import checks, environments
from purejaxrl.training import seeds as seeds_
from purejaxrl.training import spread, sweeps
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
    points: tuple[sweeps.Point, ...] = ((),)
    """Of a sweep: what each point changes, such as (("config.learning_rate", 1e-3),). All have the same
    shapes; see split for those that have not."""
    num_seeds: int = 16
    """Independent runs of each point in one compiled program."""
    seed: int = 0
    """Root of every random number: seed i draws from fold_in(key(seed), i), at every point."""
    seeds: seeds_.Seeds = "auto"
    """vmap steps the seeds together; map takes one after another, each with the bits it has alone; auto is
    map on a CPU and vmap elsewhere."""
    devices: int | None = None
    """Devices to share the seeds among; None takes all there are."""
    shard: Literal["seeds", "environments"] = "seeds"
    """What the devices share: seeds, each of which is on one, or the environments of every seed, whose
    gradients are then averaged over the devices. The latter is for one large run."""

    @property
    def name(self) -> str:
        """A name fit for a folder."""
        environment = self.environment.replace(":", "-").replace("/", "-").lower()
        return f"{self.agent.__name__.rpartition('.')[2]}-{environment}"

    @property
    def num_members(self) -> int:
        """Runs in the program: every seed of every point, a point's seeds next to each other."""
        return len(self.points) * self.num_seeds

    def loop(self, point: sweeps.Point | None = None) -> Loop:
        """The pure functions of one seed at a point; at the first one unless told.

        Raises:
            InvalidInput: something in the experiment cannot work; nothing has been compiled.
        """
        point = self.points[0] if point is None else point
        config, settings, options = sweeps.apply(point, self.config, self.settings, self.environment_options)
        environment = environments.make(
            self.environment, num_envs=settings.num_envs, **parse_options(options)
        )
        return Loop(self.agent, config, environment, settings)  # type: ignore[arg-type]


@struct.dataclass
class Member:
    """What one run of a program begins with; everything in it may differ from member to member."""

    key: Key
    config: Any
    environment: Any  # the VectorEnvironment, for its knobs


@dataclasses.dataclass(frozen=True)
class Programs:
    """An experiment's pure functions, lifted to all of its members and ready to compile.

    ``members`` is padded to what the devices divide; :func:`purejaxrl.training.seeds.first` drops
    the padding from any result.
    """

    loop: Loop
    mesh: jax.sharding.Mesh
    seeds: str
    members: Member
    shardings: Any  # of the runners' leaves: one for all, or a pytree
    begin: Any  # members -> runners, metrics
    epoch: Any  # runners, index -> runners, metrics; takes the runners' memory over
    renew: Any  # runners, epochs done -> runners, with new episodes in every environment
    train: Any  # members -> runners, metrics

    def runners(self) -> tuple[PyTree, PyTree]:
        """The shapes of the runners, padding included, and where each leaf lies."""
        shapes = jax.eval_shape(self.begin, self.members)[0]
        if isinstance(self.shardings, NamedSharding):
            return shapes, jax.tree.map(lambda _: self.shardings, shapes)
        return shapes, self.shardings


def members(experiment: Experiment[Any]) -> tuple[Loop, Member]:
    """The loop of an experiment's members, and all of them, ``[num_members]``.

    Raises:
        InvalidInput: something in the experiment cannot work, or its points differ in shape.
    """
    loops = [experiment.loop(point) for point in experiment.points]
    loops[0].check()
    for loop in loops[1:]:
        loop.check_agent()
    shapes = {shape(loop) for loop in loops}
    if len(shapes) > 1:
        raise InvalidInput(
            f"the {len(loops)} points of the sweep have {len(shapes)} different shapes; one program holds"
            " points of one shape: see purejaxrl.training.split"
        )
    keys = seeds_.keys(experiment.seed, experiment.num_seeds)

    def stack(*leaves: Any) -> jax.Array:
        return jnp.repeat(jnp.stack([jnp.asarray(leaf) for leaf in leaves]), experiment.num_seeds, axis=0)

    return loops[0], Member(
        key=keys[jnp.arange(experiment.num_members) % experiment.num_seeds],
        config=jax.tree.map(stack, *(checks.as_leaves(loop.config) for loop in loops)),
        environment=jax.tree.map(stack, *(loop.environment for loop in loops)),
    )


def shape(loop: Loop) -> Any:
    """What must be equal for loops to be members of one program."""
    return jax.tree.structure((loop.config, loop.environment)), loop.settings


def split(experiment: Experiment[C]) -> list[Experiment[C]]:
    """An experiment for each shape that its points have, in the order in which those come up.

    Raises:
        InvalidInput: something in one of the points cannot work.
    """
    groups: dict[Any, list[sweeps.Point]] = {}
    for point in experiment.points:
        groups.setdefault(shape(experiment.loop(point)), []).append(point)
    return [dataclasses.replace(experiment, points=tuple(points)) for points in groups.values()]


def programs(experiment: Experiment[Any], recording: bool = False) -> Programs:
    """Checks an experiment and makes its programs. Nothing is compiled yet.

    Args:
        experiment: what to run.
        recording: whether simulators on the host record what they are told; see
            :func:`purejaxrl.environments.recording`.

    Raises:
        InvalidInput: something in the experiment cannot work.
    """
    loop, all_members = members(experiment)
    if recording:
        loop = dataclasses.replace(loop, environment=environments.recording(loop.environment))
        recorded = environments.recording(all_members.environment)
        all_members = dataclasses.replace(all_members, environment=recorded)
    if experiment.shard not in ("seeds", "environments"):
        raise InvalidInput(f"shard must be one of seeds, environments, not {experiment.shard!r}")
    over_environments = experiment.shard == "environments"
    devices = experiment.devices
    if devices is None and not over_environments and jax.process_count() == 1:
        devices = min(jax.local_device_count(), experiment.num_members)
    mesh = seeds_.mesh(devices)
    if over_environments:
        spread.check(loop.environment, mesh)
        loop = dataclasses.replace(loop, mesh=mesh if mesh.size > 1 else None)
    mode = seeds_.resolve(experiment.seeds)
    # With map each seed has simulators of its own, and each device evaluates a seed at a time.
    environments.reserve_pools(experiment.num_members + 2 * mesh.size)
    # Where the devices share environments, each has all members.
    lift = functools.partial(
        seeds_.over_seeds, seeds=mode, mesh=seeds_.mesh(1) if over_environments else mesh
    )

    def begin(member: Member) -> tuple[PyTree, Metrics]:
        own = dataclasses.replace(loop, config=member.config, environment=member.environment)
        return own.begin(member.key)

    def train(members: Member) -> tuple[PyTree, Metrics]:
        # The parts are lifted one by one, with a barrier between them, so that the epochs see what
        # they see in a program of their own: hyperparameters that are data, with a seed axis. Folded
        # into the mathematics as constants, or shared by all seeds, they would round differently.
        runners, warmup = jax.lax.optimization_barrier(lift(begin)(members))
        runners, epochs = lift(loop.epochs, in_place=True)(runners)
        return runners, jax.tree.map(lambda a, b: jnp.concatenate([a[:, None], b], axis=1), warmup, epochs)

    everywhere = NamedSharding(mesh, PartitionSpec())
    if over_environments:
        all_members = jax.device_put(all_members, everywhere)
        shardings = spread.of_runners(jax.eval_shape(lift(begin), all_members)[0], loop.memory, mesh)
    else:
        all_members = seeds_.place(seeds_.pad(all_members, mesh), mesh)
        shardings = NamedSharding(mesh, PartitionSpec(seeds_.AXIS))
    # Every process reads every member's metrics, few numbers as they are.
    places = (shardings, everywhere) if over_environments or jax.process_count() > 1 else None
    return Programs(
        loop=loop,
        mesh=mesh,
        seeds=mode,
        members=all_members,
        shardings=shardings,
        begin=jax.jit(lift(begin), out_shardings=places),
        epoch=jax.jit(lift(loop.epoch, in_place=True), donate_argnums=0, out_shardings=places),
        renew=jax.jit(lift(loop.renew)),
        train=jax.jit(train, out_shardings=places),
    )


def train(experiment: Experiment[Any]) -> tuple[PyTree, Metrics]:
    """The whole experiment as one compiled call.

    Returns:
        The final :class:`~purejaxrl.training.loop.Runner` of every member, and Metrics
        ``[num_members, 1 + num_epochs]``, the first of each row after the warm-up.

    Raises:
        InvalidInput: something in the experiment cannot work; nothing has been compiled.
    """
    made = programs(experiment)
    return seeds_.first(made.train(made.members), experiment.num_members)


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
