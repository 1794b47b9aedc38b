"""Checkpoints of a run: every leaf of every member's state, written while the run goes on.

A checkpoint is a folder of its own under ``checkpoints/``, named after the number of epochs done.
It is written beside and moved into place by orbax, in the background, and holds a digest of each
member, so that what has been damaged since is found out when it is read. It does not depend on the
devices: it may be restored onto any number of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from purejaxrl.environments import statistics
from purejaxrl.environments.envpool_ffi import FfiState
from purejaxrl.environments.host import HostState
from purejaxrl.environments.pools import TURN
from purejaxrl.training import processes
from purejaxrl.training import seeds as seeds_
from purejaxrl.training.record import StorageError
from purejaxrl.types import InvalidInput, PyTree

FOLDER, DAMAGED = "checkpoints", "damaged"


@dataclasses.dataclass(frozen=True)
class Restored:
    """What a checkpoint held."""

    epoch: int
    runners: PyTree
    digest: str
    damaged: list[str]  # of later checkpoints: which, and why they could not be read


class Retention:
    """Which checkpoints stay: the last ``keep``, and the one with the highest score, as orbax asks."""

    # Orbax has policies for both, but forgets the scores with the process, unless it is to write
    # them to files of its own, one of which, damaged, then keeps it from starting.

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.scores: dict[int, float | None] = {}

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Whether each of ``checkpoints``, in order, stays."""
        del context
        epochs = [checkpoint.step for checkpoint in checkpoints]
        scores = {epoch: score for epoch in epochs if (score := self.scores.get(epoch)) is not None}
        best = max(scores, key=lambda epoch: (scores[epoch], epoch), default=None)
        return [epoch in epochs[-self.keep :] or epoch == best for epoch in epochs]


class Checkpoints:
    """The checkpoints of one run: the last few and the best.

    Args:
        folder: the run's.
        keep: how many of the last ones stay; the best one stays besides.

    Every process of a run makes one, and calls each method at the same time as the others.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        import orbax.checkpoint as ocp  # here, since it takes a third of a second

        self.folder = folder.absolute()
        self._ocp = ocp
        self._retention = Retention(keep)
        with self._explained(f"{self.folder / FOLDER} could not be opened"):
            self._manager = ocp.CheckpointManager(
                self.folder / FOLDER,
                options=ocp.CheckpointManagerOptions(
                    preservation_policy=self._retention, cleanup_tmp_directories=True
                ),
            )
        for epoch in self.epochs:
            with contextlib.suppress(Exception):  # a damaged one has no score; see restore
                self._retention.scores[epoch] = self.read_meta(epoch)["score"]

    @property
    def epochs(self) -> list[int]:
        """Epochs that have a checkpoint, in order."""
        return sorted(self._manager.all_steps())

    def save(
        self, epoch: int, runners: PyTree, num_members: int, description: dict[str, Any], score: float
    ) -> str:
        """Begins to write a checkpoint, once the one before it has been written.

        When it returns, the runners' memory may be used for something else. The first
        ``num_members`` rows of each leaf count, the rest is padding.

        Returns the digest of the state.

        Raises:
            StorageError: this or the last checkpoint could not be written.
        """
        named = name_leaves(runners)
        digests, agents = digests_of(named, num_members)
        meta = {
            "epoch": epoch,
            "members": num_members,
            "rows": jax.tree.leaves(runners)[0].shape[0],
            "digests": digests,
            "agent_digests": agents,  # for who reads no more
            "leaves": describe_leaves(named),
            "score": score if np.isfinite(score) else None,
            "run": description,
        }
        meta["check"] = _digest_json(meta)
        self._retention.scores[epoch] = meta["score"]
        args = self._ocp.args
        items = {item: args.StandardSave(as_data(leaves)) for item, leaves in named.items()}
        with self._explained(f"checkpoint {epoch} of {self.folder} could not be written"):
            self._manager.wait_until_finished()
            self._manager.save(epoch, args=args.Composite(meta=args.JsonSave(meta), **items), force=True)
        return join_digests(digests)

    def wait(self) -> None:
        """Returns once the last checkpoint has been written.

        Raises:
            StorageError: it could not be.
        """
        with self._explained(f"the last checkpoint of {self.folder} could not be written"):
            self._manager.wait_until_finished()
            self._manager.check_for_errors()

    def close(self) -> None:
        """Waits, and lets the threads go that write."""
        with self._explained(f"the last checkpoint of {self.folder} could not be written"):
            self._manager.close()

    def restore(
        self,
        shapes: PyTree,
        shardings: PyTree,
        num_members: int,
        check: Callable[[dict[str, Any]], None],
    ) -> Restored | None:
        """Reads the latest checkpoint that is whole; one that is damaged is moved to ``damaged/``.

        Args:
            shapes: a pytree of ShapeDtypeStructs, the runners', padding included.
            shardings: where each leaf is to lie.
            num_members: how many of their rows are not padding.
            check: raises InvalidInput where the description it is given is of another run.

        Returns None where there is no checkpoint at all.

        Raises:
            InvalidInput: a checkpoint is of another run.
            StorageError: there are checkpoints, and none can be read.
        """
        damaged: dict[int, str] = {}
        for epoch in reversed(self.epochs):
            try:
                meta = self.read_meta(epoch)
                check(meta["run"])
                self._check_leaves(meta, shapes, num_members)
                runners = self._read(epoch, meta, shapes, shardings)
            except InvalidInput:
                raise
            except Exception as error:  # whatever a damaged file makes its reader say
                damaged[epoch] = f"checkpoint {epoch}: {first_line(error)}"
                continue
            found, _ = digests_of(name_leaves(runners), num_members)
            if found != meta["digests"]:
                wrong = [i for i, (a, b) in enumerate(zip(found, meta["digests"], strict=True)) if a != b]
                damaged[epoch] = (
                    f"checkpoint {epoch}: the state of member {wrong[0]} is not the one that was saved"
                )
                continue
            runners = self._pad(runners, shapes, shardings, num_members)
            self._set_aside(damaged)
            return Restored(epoch, runners, join_digests(meta["digests"]), list(damaged.values()))
        if damaged:
            raise StorageError(f"no checkpoint of {self.folder} can be read: {'; '.join(damaged.values())}")
        return None

    def description(self) -> dict[str, Any] | None:
        """Of what run the checkpoints are, by the latest that says so."""
        for epoch in reversed(self.epochs):
            with contextlib.suppress(Exception):  # a damaged one; see restore
                return self.read_meta(epoch)["run"]
        return None

    def read_meta(self, epoch: int) -> dict[str, Any]:
        """What a checkpoint says of itself.

        Raises:
            StorageError: it is not what was written.
        """
        args = self._ocp.args
        read: Any = self._manager.restore(epoch, args=args.Composite(meta=args.JsonRestore()))
        return checked(read.meta)

    def _read(self, epoch: int, meta: dict[str, Any], shapes: PyTree, shardings: PyTree) -> PyTree:
        rows = meta["rows"]
        layout = shardings
        if rows != jax.tree.leaves(shapes)[0].shape[0]:  # padded otherwise: other devices
            mesh = jax.tree.leaves(shardings)[0].mesh
            layout = jax.tree.map(lambda _: NamedSharding(mesh, PartitionSpec()), shardings)
        stored = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), leaf.dtype), shapes)
        leaves: list[jax.Array] = []
        for item, part in split_leaves(stored).items():
            leaves += self._read_item(epoch, item, part, split_leaves(layout)[item])
        return join_leaves(stored, leaves)

    def _pad(self, runners: PyTree, shapes: PyTree, shardings: PyTree, num_members: int) -> PyTree:
        """Runners with as many rows as ``shapes`` have, the last member repeated."""
        rows = jax.tree.leaves(shapes)[0].shape[0]
        if jax.tree.leaves(runners)[0].shape[0] == rows:
            return runners
        index = seeds_.padding(num_members, rows)
        take = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf[index], tree), out_shardings=shardings)
        return take(runners)

    def _read_item(self, epoch: int, item: str, shapes: PyTree, shardings: PyTree) -> list[jax.Array]:
        args = self._ocp.args
        flat, places = jax.tree.leaves(shapes), jax.tree.leaves(shardings)
        target = args.StandardRestore(as_data_shapes(flat, places))
        return from_data(self._manager.restore(epoch, args=args.Composite(**{item: target}))[item], flat)

    def _check_leaves(self, meta: dict[str, Any], shapes: PyTree, num_members: int) -> None:
        different = differing_leaves(meta["leaves"], describe_leaves(name_leaves(shapes)))
        if meta["members"] != num_members:
            different.insert(0, f"members: {meta['members']} in the checkpoint, {num_members} now")
        if different:
            raise InvalidInput(
                f"checkpoint {meta['epoch']} of {self.folder} has another state: {'; '.join(different[:5])}"
            )

    def _set_aside(self, damaged: dict[int, str]) -> None:
        processes.wait("none reads what is damaged any more")
        if damaged and jax.process_index() == 0:
            for epoch in damaged:
                source = self.folder / FOLDER / str(epoch)
                target = next(
                    path
                    for n in range(10**6)
                    if not (path := self.folder / DAMAGED / f"{epoch}-{n}").exists()
                )
                target.parent.mkdir(exist_ok=True)
                source.rename(target)
        processes.wait("what is damaged has been set aside")
        if damaged:
            self._manager.reload()

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # orbax, tensorstore and the operating system each have their own
            raise StorageError(f"{what}: {first_line(error)}") from error


def checked(meta: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of itself, or StorageError where that is not what was written."""
    meta = dict(meta)
    if meta.pop("check", None) != _digest_json(meta):
        raise StorageError("its description is not the one that was saved")
    return meta


def forget_simulators(runners: PyTree) -> PyTree:
    """Runners without the names of simulators on the host, which mean nothing to another process.

    How many steps each has taken remains.
    """

    def forget(node: Any) -> Any:
        if isinstance(node, HostState):
            return dataclasses.replace(node, ticket=node.ticket * (np.arange(4) == TURN))
        if isinstance(node, FfiState):
            blank = jnp.zeros_like(node.handle), jnp.zeros_like(node.serial)
            return dataclasses.replace(node, handle=blank[0], serial=blank[1])
        return node

    state = runners.environment_state
    state = jax.tree.map(forget, state, is_leaf=lambda node: isinstance(node, HostState | FfiState))
    return dataclasses.replace(runners, environment_state=state)


def split_leaves(runners: PyTree) -> dict[str, PyTree]:
    """What it takes to act, and everything else.

    To act takes the agent, and what its observations are normalised by, if they are.
    """
    known = statistics(runners.environment_state)
    agent = (runners.agent, known) if known else runners.agent
    return {"agent": agent, "rest": dataclasses.replace(runners, agent=None)}


def join_leaves(runners: PyTree, leaves: list[Any]) -> PyTree:
    """The reverse: ``runners`` with other leaves, those of the agent first."""
    parts = split_leaves(runners)
    number = len(jax.tree.leaves(parts["agent"]))
    agent = jax.tree.unflatten(jax.tree.structure(parts["agent"]), leaves[:number])
    if statistics(runners.environment_state):
        agent, _ = agent  # the rest has them, too
    rest = jax.tree.unflatten(jax.tree.structure(parts["rest"]), leaves[number:])
    return dataclasses.replace(rest, agent=agent)


def name_leaves(runners: PyTree) -> dict[str, dict[str, Any]]:
    """The leaves of both parts by their path."""
    named = {}
    for item, part in split_leaves(runners).items():
        flat, _ = jax.tree_util.tree_flatten_with_path(part)
        prefix = "agent" if item == "agent" else ""
        named[item] = {prefix + jax.tree_util.keystr(path): leaf for path, leaf in flat}
    return named


def as_data(named: dict[str, Any]) -> dict[str, Any]:
    """Leaves under names that any file system takes, keys as the numbers in them."""
    return {f"{i:03d}": seeds_.unwrap(leaf) for i, leaf in enumerate(named.values())}


def as_data_shapes(leaves: list[Any], places: list[Any]) -> dict[str, jax.ShapeDtypeStruct]:
    """What :func:`as_data` makes of leaves of these shapes, and where each is to lie."""

    def shape(leaf: Any, place: Any) -> jax.ShapeDtypeStruct:
        data = jax.eval_shape(seeds_.unwrap, jax.ShapeDtypeStruct(leaf.shape, leaf.dtype))
        return jax.ShapeDtypeStruct(data.shape, data.dtype, sharding=place)

    return {f"{i:03d}": shape(*pair) for i, pair in enumerate(zip(leaves, places, strict=True))}


def from_data(data: dict[str, Any], leaves: list[Any]) -> list[jax.Array]:
    """The reverse of :func:`as_data`, for leaves of these shapes."""
    return [seeds_.wrap(data[name], leaf) for name, leaf in zip(sorted(data), leaves, strict=True)]


def differing_leaves(saved: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Leaves whose description in a checkpoint is not the one expected now, in words."""
    return [
        f"{name}: {saved.get(name, 'missing')} in the checkpoint, {expected.get(name, 'missing')} now"
        for name in sorted(expected.keys() | saved.keys())
        if expected.get(name) != saved.get(name)
    ]


def describe_leaves(named: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Type and shape of every leaf's row by the leaf's path."""
    return {
        name: f"{leaf.dtype}{list(leaf.shape[1:])}"
        for leaves in named.values()
        for name, leaf in leaves.items()
    }


def digest_members(named: dict[str, Any], num_members: int) -> list[str]:
    """A digest of each member's state: SHA-256 over the path, type, shape and bytes of every leaf.

    It does not depend on the devices that the leaves lie on.
    """
    hashes = [hashlib.sha256() for _ in range(num_members)]
    for name in sorted(named):
        leaf = seeds_.unwrap(named[name])
        head = f"{name} {leaf.dtype} {leaf.shape[1:]}".encode()
        for member, row in _local_rows(leaf, num_members):
            hashes[member].update(head)
            hashes[member].update(row)
    own = np.stack([np.frombuffer(each.digest(), np.uint8) for each in hashes])
    if jax.process_count() > 1:
        own = _of_all_processes(own, next(iter(named.values())), num_members)
    return [row.tobytes().hex() for row in own]


def digests_of(named: dict[str, dict[str, Any]], num_members: int) -> tuple[list[str], list[str]]:
    """A digest of each member's state, and one of its agent alone."""
    agents = digest_members(named["agent"], num_members)
    others = digest_members(named["rest"], num_members)
    return [join_digests([*pair]) for pair in zip(agents, others, strict=True)], agents


def join_digests(digests: list[str]) -> str:
    """One digest of several."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _local_rows(leaf: Any, num_members: int) -> Iterator[tuple[int, memoryview]]:
    """Members whose rows of a leaf are on this process's devices, with the bytes."""
    if leaf.is_fully_addressable:
        rows = enumerate(np.asarray(leaf)[:num_members])
    else:
        shards = {shard.index[0].start or 0: np.asarray(shard.data) for shard in leaf.addressable_shards}
        rows = ((start + i, row) for start in sorted(shards) for i, row in enumerate(shards[start]))
    for member, row in rows:
        if member < num_members:
            yield member, np.ascontiguousarray(row).data.cast("B") if row.size else memoryview(b"")


def _of_all_processes(own: np.ndarray, leaf: Any, num_members: int) -> np.ndarray:
    """Members' digests, each from a process that has the member's rows of ``leaf``."""
    mine = np.zeros(num_members, np.uint8)
    mine[[member for member, _ in _local_rows(seeds_.unwrap(leaf), num_members)]] = 1
    every, held = multihost_utils.process_allgather((own, mine))
    return every[np.argmax(held, axis=0), np.arange(num_members)]


def _digest_json(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def first_line(error: BaseException) -> str:
    """What an error is and says, shortly."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
