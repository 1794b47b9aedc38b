"""Tables, features and networks of action values: by hand, and what must not depend on what."""

from __future__ import annotations

import itertools
from typing import Any

import chex
import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl import value_networks
from purejaxrl.networks import LECUN, MLP, PYTORCH, OneHot, Recurrent, SmallCNN, make_torso
from purejaxrl.types import InvalidInput
from purejaxrl.value_networks import (
    Flat,
    Polynomial,
    QNetwork,
    SeparateQNetworks,
    StateActionQNetwork,
    Table,
    TileCoding,
    linear,
    linear_torso,
    of_architecture,
)

A, F, K = 3, 4, 5
BOX = gymnasium.spaces.Box(np.array([-1, 0], np.float32), np.array([1, 10], np.float32))
BOARD = gymnasium.spaces.Box(0, 1, (4, 4, 2), np.float32)
NUMBERS = gymnasium.spaces.Discrete(4, start=2)


def close(actual: Any, expected: Any, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=atol)


def initialised(module: nn.Module, *inputs: Any) -> Any:
    return jax.jit(module.init)(jax.random.key(0), *inputs)


def shapes(module: nn.Module, *inputs: Any) -> Any:
    """The parameters' shapes and the output's, without computing anything."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    output, variables = jax.eval_shape(module.init_with_output, key, *inputs)
    return jax.tree.map(lambda leaf: leaf.shape, variables["params"]), output.shape


def applied(module: nn.Module, variables: Any, *inputs: Any, **rngs: Any) -> Any:
    return jax.jit(module.apply)(variables, *inputs, rngs=rngs)


def normal(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


# Tables and features.


def test_a_table_has_a_number_for_each_observation_and_action() -> None:
    table = Table(4, A, start=2, initial_value=0.5)
    variables = initialised(table, jnp.int32(2))
    close(variables["params"]["q"], np.full((4, A), 0.5))
    numbered = {"params": {"q": jnp.arange(12.0).reshape(4, A)}}
    for row in range(4):
        close(table.apply(numbered, jnp.int32(2 + row)), [3 * row, 3 * row + 1, 3 * row + 2])


def tile(module: TileCoding, *place: float) -> list[int]:
    """The numbers of the features that are 1."""
    features = np.asarray(module.apply({}, jnp.array(place)))
    assert set(np.unique(features)) <= {0.0, 1.0}
    return np.flatnonzero(features).tolist()


def test_tiles_by_hand() -> None:
    # Two grids of two tiles on [0, 4], the second half a tile off: 0 to 2 and 2 to 4; up to 1, to 3, on.
    line = TileCoding((0.0,), (4.0,), tilings=2, tiles=2)
    expected = {0.0: [0, 3], 0.9: [0, 3], 1.1: [0, 4], 1.9: [0, 4], 2.1: [1, 4], 2.9: [1, 4], 3.1: [1, 5]}
    for place, features in expected.items():
        assert tile(line, place) == features
    assert tile(line, -7.0) == tile(line, 0.0)  # beyond the box is on its edge
    assert tile(line, 9.0) == tile(line, 4.0)
    # In two dimensions the shifts are k/4 and 3k/4 of a tile (1, 3): places on a 3 × 3 grid of [0, 2]².
    plane = TileCoding((0.0, 0.0), (2.0, 2.0), tilings=4, tiles=2)
    for x, y in [(0.1, 0.1), (0.4, 1.6), (1.3, 0.3), (1.9, 1.9)]:
        numbers = [
            9 * k + int(x + k / 4) + 3 * int(y + 3 * k / 4 % 1)  # every tile is 1 × 1 here
            for k in range(4)
        ]
        assert tile(plane, x, y) == numbers


def test_tilings_that_would_lie_on_each_other_are_refused() -> None:
    """Along the second number grids are shifted by threes: three of them would all be where the first is."""
    space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    with pytest.raises(InvalidInput, match=r"tilings=3 shares a factor with 3, .*a power of two never does"):
        value_networks.linear_torso("tile_coding", space, 3, 4, 1)
    for tilings in (1, 2, 5, 8):
        value_networks.linear_torso("tile_coding", space, tilings, 4, 1)


def test_a_range_that_no_float_holds_is_no_range() -> None:
    most = np.finfo(np.float32).max
    space = gymnasium.spaces.Box(-most, most, (2,), np.float32)
    for name in ("tile_coding", "polynomial"):
        with pytest.raises(InvalidInput, match="whose ranges are finite in float32"):
            value_networks.linear_torso(name, space, 2, 2, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("tilings", [1, 3, 8])
def test_as_many_tiles_are_on_as_there_are_grids(tilings: int) -> None:
    module = TileCoding((-1.0, 0.0), (1.0, 10.0), tilings=tilings, tiles=4)
    places = jnp.asarray(np.random.default_rng(0).uniform([-1.2, -1], [1.2, 11], (500, 2)), jnp.float32)
    places = jnp.concatenate([places, jnp.array([[-1, 0], [1, 10], [1, 0], [0, 5]])])
    features = jax.jit(jax.vmap(lambda place: module.apply({}, place)))(places)
    assert features.shape == (504, tilings * 25)
    close(jnp.sum(features.reshape(504, tilings, 25), axis=2), np.ones((504, tilings)))
    # Near places share tiles, the nearer the more.
    inside = jnp.linspace(-0.9, 0.9, 50)[:, None] * jnp.array([1.0, 0.0]) + jnp.array([0.0, 5.0])
    line = jax.jit(jax.vmap(lambda place: module.apply({}, place)))(inside)
    shared = np.asarray(line @ line.T)
    assert np.all(np.diag(shared) == tilings)
    assert shared[0, 40] == 0
    if tilings == 8:
        assert 0 < np.sum(np.diff(shared[0]) < 0) <= 8  # one grid after another lets go
        assert np.all(np.diff(shared[0]) <= 0)


def test_polynomials_by_hand() -> None:
    # (−1 … 1) and (0 … 10) are scaled to [−1, 1]: ½ and ½ here.
    module = Polynomial((-1.0, 0.0), (1.0, 10.0), order=2)
    x, y = 0.5, 2 * 7.5 / 10 - 1
    expected = [x**i * y**j for i, j in itertools.product(range(3), repeat=2)]
    close(module.apply({}, jnp.array([0.5, 7.5])), expected)
    corner = module.apply({}, jnp.array([-1.0, 10.0]))
    close(corner, [1, 1, 1, -1, -1, -1, 1, 1, 1])
    assert len(np.asarray(Polynomial((0.0,), (1.0,), 3).apply({}, jnp.ones(1)))) == 4


def test_linear_values_start_at_zero_and_are_linear_in_their_features() -> None:
    torso: Any = linear_torso("polynomial", BOX, 8, 8, 2)
    assert torso == Polynomial((-1.0, 0.0), (1.0, 10.0), 2)
    network = linear(torso, A)
    variables = initialised(network, jnp.zeros(2))
    assert jax.tree.map(jnp.shape, variables["params"]) == {"values": {"kernel": (9, A)}}
    place = jnp.array([0.3, 4.0])
    close(network.apply(variables, place), np.zeros(A))
    weights = {"params": {"values": {"kernel": normal(9, A)}}}
    close(network.apply(weights, place), torso.apply({}, place) @ normal(9, A))
    assert linear_torso("tile_coding", BOX, 4, 6, 9) == TileCoding((-1.0, 0.0), (1.0, 10.0), 4, 6)
    one_hot = linear_torso("one_hot", NUMBERS, 8, 8, 2)
    close(one_hot.apply({}, jnp.int32(3)), [0, 1, 0, 0])


@pytest.mark.parametrize(
    ("name", "space", "words"),
    [
        ("one_hot", BOX, ["one_hot", "Discrete", "Box"]),
        ("tile_coding", NUMBERS, ["tile_coding", "Box", "Discrete(4, start=2)"]),
        ("polynomial", gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32), ["polynomial", "bounded"]),
        ("fourier", BOX, ["one_hot, tile_coding, polynomial", "'fourier'"]),
    ],
)
def test_features_that_cannot_be_made(name: Any, space: Any, words: list[str]) -> None:
    with pytest.raises(InvalidInput) as raised:
        linear_torso(name, space, 8, 8, 3)
    for word in words:
        assert word in str(raised.value)


# One network for all actions.


def head(params: Any, name: str, x: Any) -> np.ndarray:
    return np.asarray(x) @ params[name]["kernel"] + params[name]["bias"]


@pytest.mark.parametrize("atoms", [None, K])
def test_a_q_network_is_its_torso_and_a_linear_layer(atoms: int | None) -> None:
    module = QNetwork(Flat(), A, PYTORCH, atoms=atoms)
    observation = normal(F)
    variables = initialised(module, observation)
    outputs = head(variables["params"], "values", observation)
    close(module.apply(variables, observation), outputs if atoms is None else outputs.reshape(A, K))
    for leaf in jax.tree.leaves(variables):
        assert 0.2 < jnp.abs(leaf).max() <= 0.5  # ±1/√4, biases too


def dueling(params: Any, x: Any, atoms: int | None, mean_over: Any) -> np.ndarray:
    """Of a batch ``[B, F]``, with the advantages' mean over axes of ``[B, A, K]``."""
    rows = atoms or 1
    value = head(params, "value", x).reshape(-1, 1, rows)
    advantage = head(params, "advantage", x).reshape(-1, A, rows)
    q = value + advantage - advantage.mean(axis=mean_over, keepdims=True)
    return q if atoms else q[..., 0]


@pytest.mark.parametrize("atoms", [None, K])
def test_dueling_takes_off_the_mean_over_actions(atoms: int | None) -> None:
    module = QNetwork(Flat(), A, atoms=atoms, dueling=True)
    batch = normal(6, F)
    variables = initialised(module, batch[0])
    params = variables["params"]
    assert set(params) == {"value", "advantage"}
    assert params["value"]["kernel"].shape == (F, atoms or 1)
    apply = jax.jit(jax.vmap(module.apply, in_axes=(None, 0)))
    q = np.asarray(apply(variables, batch))
    close(q, dueling(params, batch, atoms, 1))

    def holds(of: Any) -> bool:
        """Of a function from a batch to its values, what tells the right formula from a mean over more."""
        together = of(batch)
        advantage = head(params, "advantage", batch).reshape(6, A, -1).reshape(together.shape)
        centred = together - together.mean(axis=1, keepdims=True)
        alone = np.concatenate([of(batch[i : i + 1]) for i in range(6)])
        value = head(params, "value", batch).reshape(6, *together.shape[2:])
        return (
            np.allclose(alone, together, atol=1e-5)
            and np.allclose(centred, advantage - advantage.mean(axis=1, keepdims=True), atol=1e-5)
            and np.allclose(together.mean(axis=1), value, atol=1e-5)
        )

    assert holds(lambda x: np.asarray(apply(variables, x)))
    # The mistake that `advantage.mean()` is: over the batch besides, or over the atoms.
    assert not holds(lambda x: dueling(params, x, atoms, None))
    assert not holds(lambda x: dueling(params, x, atoms, (0, 1)))
    if atoms:
        assert not holds(lambda x: dueling(params, x, atoms, (1, 2)))


def test_dueling_streams_have_layers_of_their_own() -> None:
    params, output = shapes(QNetwork(MLP((8,)), A, dueling=True, stream_sizes=(6, 5)), jnp.zeros(F))
    assert output == (A,)
    assert set(params) == {
        "torso",
        *(f"{stream}{layer}" for stream in ("value", "advantage") for layer in ("", "_0", "_1")),
    }
    assert params["advantage"]["kernel"] == (5, A)
    assert params["value"]["kernel"] == (5, 1)
    plain, _ = shapes(QNetwork(MLP((8,)), A, stream_sizes=(6,)), jnp.zeros(F))
    assert plain["values_0"]["kernel"] == (8, 6)
    assert plain["values"]["kernel"] == (6, A)


@pytest.mark.parametrize("normalisation", ["none", "layer"])
def test_streams_are_rectified_between_their_layers(normalisation: Any) -> None:
    module = QNetwork(Flat(), A, stream_sizes=(6,), normalisation=normalisation)
    observation = normal(F)
    variables = initialised(module, observation)
    params = variables["params"]
    hidden = head(params, "values_0", observation)
    if normalisation == "layer":
        hidden = (hidden - hidden.mean()) / np.sqrt(hidden.var() + 1e-6)
    close(applied(module, variables, observation), head(params, "values", np.maximum(hidden, 0)), rtol=1e-4)


@pytest.mark.parametrize("duel", [False, True])
def test_implicit_quantiles_embed_the_fraction(duel: bool) -> None:
    module: Any = QNetwork(Flat(), A, dueling=duel, embedding=7)
    observation, tau = normal(F), jnp.array([0.1, 0.5, 0.9, 0.5])
    variables = initialised(module, observation, tau)
    params = variables["params"]
    cosines = np.cos(np.pi * np.arange(7) * np.asarray(tau)[:, None])
    features = np.asarray(observation) * np.maximum(head(params, "embedding", cosines), 0)
    if duel:
        value, advantage = head(params, "value", features), head(params, "advantage", features)
        expected = value + advantage - advantage.mean(axis=1, keepdims=True)
    else:
        expected = head(params, "values", features)
    quantiles = module.apply(variables, observation, tau)
    close(quantiles, expected.T)
    assert quantiles.shape == (A, 4)
    # A quantile depends on its own fraction, and on no other.
    close(quantiles[:, 1], quantiles[:, 3])
    close(module.apply(variables, observation, tau[:1])[:, 0], quantiles[:, 0])
    with pytest.raises(InvalidInput, match="fractions tau"):
        module.apply(variables, observation)


# A network for each action, and one that is asked of each.


@pytest.mark.parametrize("atoms", [None, K])
def test_separate_networks_share_nothing(atoms: int | None) -> None:
    module: Any = SeparateQNetworks(QNetwork(MLP((6,)), 1, atoms=atoms), A)
    observation = normal(F)
    variables = initialised(module, observation)
    values = applied(module, variables, observation)
    assert values.shape == ((A,) if atoms is None else (A, K))
    alone: Any = QNetwork(MLP((6,)), 1, atoms=atoms)
    params = variables["params"]["network"]
    for action in range(A):
        of_action = {"params": jax.tree.map(lambda leaf, a=action: leaf[a], params)}
        close(values[action], applied(alone, of_action, observation)[0])
    slope = jax.jit(jax.grad(lambda variables: jnp.sum(module.apply(variables, observation)[1])))(variables)
    for leaf in jax.tree.leaves(slope):
        assert jnp.any(leaf[1] != 0)
        assert not jnp.any(leaf[np.array([0, 2])] != 0)
    kernels = params["torso"]["Dense_0"]["kernel"]
    assert not np.allclose(kernels[0], kernels[1])  # they do not start alike, either


@pytest.mark.parametrize("atoms", [None, K])
def test_one_network_is_asked_of_every_action(atoms: int | None) -> None:
    module: Any = StateActionQNetwork(QNetwork(MLP((6,)), 1, atoms=atoms), A)
    observation = normal(F)
    variables = initialised(module, observation)
    params = variables["params"]["network"]
    assert params["torso"]["Dense_0"]["kernel"].shape == (F + A, 6)
    values = applied(module, variables, observation)
    assert values.shape == ((A,) if atoms is None else (A, K))
    for action in range(A):
        seen = jnp.concatenate([observation, jnp.eye(A)[action]])
        close(values[action], applied(QNetwork(MLP((6,)), 1, atoms=atoms), {"params": params}, seen)[0])
    # What is learnt of one action is learnt of all.
    slope = jax.jit(jax.grad(lambda variables: jnp.sum(module.apply(variables, observation)[1])))(variables)
    moved = jax.tree.map(lambda p, g: p + g, variables, slope)
    assert jnp.all(applied(module, moved, observation) != values)


def test_fractions_reach_every_architecture() -> None:
    tau = jnp.array([0.2, 0.7])
    for architecture in ("shared", "separate", "state_action"):
        network = of_architecture(architecture, MLP((6,)), A, BOX, embedding=7)
        assert shapes(network, jnp.zeros(2), tau)[1] == (A, 2)


def test_architectures_by_name() -> None:
    torso = MLP((6,))
    assert of_architecture("shared", torso, A, BOX, dueling=True) == QNetwork(torso, A, dueling=True)
    assert of_architecture("separate", torso, A, BOX) == SeparateQNetworks(QNetwork(torso, 1), A)
    assert of_architecture("state_action", torso, A, BOX) == StateActionQNetwork(QNetwork(torso, 1), A)
    # A number is one-hot before the action is appended to it.
    numbered = of_architecture("state_action", OneHot(4, torso, 2), A, NUMBERS)
    assert numbered == OneHot(4, StateActionQNetwork(QNetwork(torso, 1), A), 2)
    params, output = shapes(numbered, jnp.int32(3))
    assert output == (A,)
    assert params["torso"]["network"]["torso"]["Dense_0"]["kernel"] == (4 + A, 6)
    bits = gymnasium.spaces.MultiBinary(5)
    network = of_architecture("state_action", make_torso("auto", bits, (6,)), A, bits)
    assert shapes(network, jnp.zeros(5, jnp.int8))[1] == (A,)


@pytest.mark.parametrize(
    ("architecture", "torso", "options", "words"),
    [
        ("joint", MLP((6,)), {}, ["shared, separate, state_action", "'joint'"]),
        ("separate", MLP((6,)), {"dueling": True}, ["dueling", "'separate'"]),
        ("state_action", MLP((6,)), {"dueling": True}, ["dueling", "'state_action'"]),
        ("state_action", SmallCNN(), {}, ["MLP", "SmallCNN"]),
        ("state_action", MLP((6,), normalisation="batch"), {}, ["normalisation", "none or layer"]),
    ],
)
def test_architectures_that_cannot_be(architecture: Any, torso: Any, options: Any, words: list[str]) -> None:
    with pytest.raises(InvalidInput) as raised:
        of_architecture(architecture, torso, A, BOARD, **options)
    for word in words:
        assert word in str(raised.value)


# Noise and dropout.

NOISY = {
    "shared": QNetwork(MLP((6,), noisy=0.5), A, noisy=0.5),
    "separate": SeparateQNetworks(QNetwork(MLP((6,), noisy=0.5), 1, noisy=0.5), A),
    "state_action": StateActionQNetwork(QNetwork(MLP((6,), noisy=0.5), 1, noisy=0.5), A),
}


@pytest.mark.parametrize("architecture", NOISY)
def test_noise_and_dropout_are_drawn_where_random_numbers_are_given(architecture: str) -> None:
    module, observation = NOISY[architecture], normal(F)
    variables = initialised(module, observation)

    def values(**rngs: Any) -> Any:
        return np.asarray(apply(variables, observation, None, 0.5, rngs=rngs))

    apply = jax.jit(module.apply)
    plain = values()
    np.testing.assert_array_equal(plain, values())
    close(plain, apply(variables, observation))
    for name in ("noise", "dropout"):
        drawn = values(**{name: jax.random.key(1)})
        np.testing.assert_array_equal(drawn, values(**{name: jax.random.key(1)}))
        assert np.all(drawn != plain)
        assert np.all(drawn != values(**{name: jax.random.key(2)}))


def test_separate_networks_have_separate_noise_and_one_network_has_one() -> None:
    """Told by networks whose actions all have the same parameters and see the same."""
    observation = normal(F)
    for name in ("noise", "dropout"):
        rngs = {name: jax.random.key(1)}
        module = NOISY["separate"]
        same = jax.tree.map(lambda leaf: jnp.stack([leaf[0]] * A), initialised(module, observation))
        values = np.asarray(applied(module, same, observation, None, 0.5, **rngs))
        assert len(np.unique(values)) == A
        module = NOISY["state_action"]
        blind = initialised(module, observation)
        first = blind["params"]["network"]["torso"]["NoisyDense_0"]
        for leaf in ("kernel", "kernel_deviation"):
            first[leaf] = first[leaf].at[F:].set(0.0)  # the action is not seen
        values = np.asarray(applied(module, blind, observation, None, 0.5, **rngs))
        assert len(np.unique(values)) == 1


def test_dropped_features_are_scaled_up() -> None:
    """A linear network of a single 1: the value is 0 or 1/(1 − rate), with that chance, 1 in the mean."""
    module = QNetwork(Flat(), 1, nn.initializers.ones, use_bias=False)
    observation = jnp.ones(1)
    variables = initialised(module, observation)
    for rate in (0.0, 0.25, 0.8):
        keys = jax.random.split(jax.random.key(3), 4000)
        values = jax.jit(
            jax.vmap(
                lambda key, rate=rate: module.apply(variables, observation, None, rate, rngs={"dropout": key})
            )
        )(keys)
        assert set(np.unique(values)) <= {np.float32(0), np.float32(1) / np.float32(1 - rate)}
        close(jnp.mean(values == 0), rate, rtol=0, atol=0.03)
        close(jnp.mean(values), 1.0, rtol=0, atol=0.15)


def test_features_are_dropped_before_every_layer_of_a_head() -> None:
    """A rate near 1 leaves but the last layer's bias."""
    module = QNetwork(Flat(), A, PYTORCH, stream_sizes=(64,))
    observation = jnp.ones(64)
    variables = initialised(module, observation)
    rngs = {"dropout": jax.random.key(0)}
    gone = module.apply(variables, observation, None, 1 - 1e-6, rngs=rngs)
    close(gone, variables["params"]["values"]["bias"])


# Memory.


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_recurrent_network_remembers(cell: Any) -> None:
    module = Recurrent(MLP((6,)), QNetwork(Flat(), A, dueling=True), size=8, cell=cell)
    begun = module.initial_carry()
    assert all(leaf.shape == (8,) and not leaf.any() for leaf in jax.tree.leaves(begun))
    assert jax.tree.structure(begun) == jax.tree.structure((0, 0) if cell == "lstm" else 0)
    variables = initialised(module, begun, normal(F))
    apply = jax.jit(module.apply)
    first, now = normal(2, F, seed=1), normal(F)
    carries = [apply(variables, begun, seen)[0] for seen in first]
    values = [apply(variables, carry, now)[1] for carry in (begun, *carries)]
    assert values[0].shape == (A,)
    assert len(np.unique(np.stack(values)[:, 0])) == 3  # the same seen, something else before
    close(apply(variables, begun, now)[1], values[0])
    chex.assert_trees_all_equal_shapes_and_dtypes(carries[0], begun)


def test_networks_made_alike_are_equal_and_others_are_not() -> None:
    makers = [
        lambda: Table(4, A),
        lambda: Table(4, A, 0, 1.0),
        lambda: TileCoding((0.0,), (1.0,)),
        lambda: Polynomial((0.0,), (1.0,)),
        lambda: linear(Flat(), A),
        lambda: QNetwork(MLP((6,)), A, LECUN),
        lambda: QNetwork(MLP((6,)), A, LECUN, dueling=True),
        lambda: QNetwork(MLP((6,)), A, LECUN, atoms=5),
        lambda: QNetwork(MLP((6,)), A, LECUN, embedding=5),
        lambda: QNetwork(MLP((6,)), A, LECUN, noisy=0.5),
        lambda: QNetwork(MLP((6,), normalisation="layer"), A, LECUN),
        lambda: SeparateQNetworks(QNetwork(MLP((6,)), 1), A),
        lambda: StateActionQNetwork(QNetwork(MLP((6,)), 1), A),
        lambda: Recurrent(MLP((6,)), QNetwork(Flat(), A), 8, "gru"),
        lambda: Recurrent(MLP((6,)), QNetwork(Flat(), A), 8, "lstm"),
    ]
    first, second = [make() for make in makers], [make() for make in makers]
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            assert (one == other) == (i == j)
            assert i != j or hash(one) == hash(other)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("polynomial", (10, 5), ["polynomial", "50 numbers", "1 × 4^50"]),
        ("tile_coding", (10, 5), ["tile_coding", "8 × 9^50", "1048576"]),
        ("tile_coding", (10,), ["tile_coding", "10 numbers", "8 × 9^10"]),
        ("tile_coding", (84, 84), ["8 × 9^7056"]),
    ],
)
def test_more_features_than_can_be_are_refused(name: Any, shape: tuple[int, ...], words: list[str]) -> None:
    space = gymnasium.spaces.Box(-1.0, 1.0, shape, np.float32)
    with pytest.raises(InvalidInput) as raised:
        linear_torso(name, space, 8, 8, 3)
    for word in words:
        assert word in str(raised.value)


def test_a_number_without_a_range_is_not_divided() -> None:
    space = gymnasium.spaces.Box(np.array([0.0, 1.0], np.float32), np.array([1.0, 1.0], np.float32))
    with pytest.raises(InvalidInput, match="needs a bounded Box"):
        linear_torso("polynomial", space, 8, 8, 3)
