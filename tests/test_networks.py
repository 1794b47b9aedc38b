"""Shapes, starting values and identity of networks, with arithmetic done by hand in numpy."""

from typing import Any

import chex
import flax.linen as nn
import gymnasium
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl import networks
from purejaxrl.action_distributions import CategoricalHead
from purejaxrl.networks import (
    INITIALISERS,
    MLP,
    PYTORCH,
    SMALL,
    XAVIER,
    ActorCritic,
    Critic,
    DeterministicActor,
    NatureCNN,
    NoisyDense,
    OneHot,
    Orthogonal,
    PoolingCNN,
    ShiftedConv,
    SmallCNN,
    Uniform,
    default_torso,
    nearest_orthogonal,
)
from purejaxrl.types import InvalidInput
from purejaxrl.value_networks import QNetwork


def _init(module, *inputs):
    return jax.jit(module.init)(jax.random.key(0), *inputs)


def _apply(module, variables, *inputs) -> Any:
    return jax.jit(module.apply)(variables, *inputs)


def _apply_to_batch(module, variables, observations) -> Any:
    return jax.jit(jax.vmap(module.apply, in_axes=(None, 0)))(variables, observations)


def _normal(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def _shapes(module, *inputs):
    """The parameters' shapes, and the output's, without computing anything."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    output, variables = jax.eval_shape(module.init_with_output, key, *inputs)
    return variables["params"], output


def _count(params):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))


# --- torsos ------------------------------------------------------------------------------------


def test_mlp_is_the_matrix_products_that_it_says():
    module = MLP((5, 3), nn.tanh, PYTORCH)
    observations = _normal(7, 2, 4)  # flattened to 8
    variables = _init(module, observations[0])
    first, second = (variables["params"][f"Dense_{i}"] for i in range(2))
    expected = np.tanh(np.asarray(observations).reshape(7, 8) @ first["kernel"] + first["bias"])
    expected = np.tanh(expected @ second["kernel"] + second["bias"])
    features = _apply_to_batch(module, variables, observations)
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


def test_numbered_observations_are_one_hot_whichever_way_an_mlp_is_chosen():
    """Of Discrete observations an MLP would else read the number, as if the fifth were five of something."""
    space = gymnasium.spaces.Discrete(5, start=2)
    chosen = networks.make_torso("mlp", space, (3,))
    assert chosen == networks.make_torso("auto", space, (3,))
    params = _init(chosen, jnp.int32(2))["params"]
    (layer,) = params.values()
    assert layer["Dense_0"]["kernel"].shape == (5, 3)


def test_nature_cnn_has_the_published_number_of_parameters():
    params, output = _shapes(QNetwork(NatureCNN(), 4), jnp.zeros((84, 84, 4), jnp.uint8))
    # 84 -> (84-8)/4+1 = 20 -> (20-4)/2+1 = 9 -> 9-3+1 = 7, so the dense layer sees 7*7*64 = 3136.
    convolutions = (8 * 8 * 4 * 32 + 32) + (4 * 4 * 32 * 64 + 64) + (3 * 3 * 64 * 64 + 64)
    assert _count(params["torso"]) == convolutions + (3136 * 512 + 512) == 1_684_128
    assert _count(params) == 1_684_128 + 512 * 4 + 4
    assert output.shape == (4,)


def test_dueling_streams_are_on_the_convolutions_alone():
    """As published: of 3 136 features each, and not of a layer of 512 that both share."""
    space = gymnasium.spaces.Box(0, 255, (84, 84, 4), np.uint8)
    torso = networks.make_torso("nature_convolutions", space, ())
    network = QNetwork(torso, 4, dueling=True, stream_sizes=(512,))
    params, output = _shapes(network, jnp.zeros((84, 84, 4), jnp.uint8))
    convolutions = (8 * 8 * 4 * 32 + 32) + (4 * 4 * 32 * 64 + 64) + (3 * 3 * 64 * 64 + 64)
    assert _count(params["torso"]) == convolutions
    assert _count(params) == convolutions + 2 * (3136 * 512 + 512) + 512 * (4 + 1) + (4 + 1)
    assert output.shape == (4,)


@pytest.mark.parametrize("name", ["small_cnn", "pooling_cnn", "nature_cnn", "nature_convolutions"])
def test_convolutions_of_what_is_no_image_are_refused_by_name(name):
    with pytest.raises(InvalidInput, match=f"^{name} reads images or boards, not observations of Box"):
        networks.make_torso(name, gymnasium.spaces.Box(-1, 1, (4,)), (8,))


def test_padded_convolutions_leave_eleven_places_to_a_side():
    """84 / 4 = 21, and 21 / 2 is 11, rounded up: so many are Dopamine's."""
    params, output = _shapes(NatureCNN(padding="SAME"), jnp.zeros((84, 84, 4), jnp.uint8))
    assert params["Dense_0"]["kernel"].shape == (11 * 11 * 64, 512)
    assert output.shape == (512,)


@pytest.mark.parametrize(
    ("shape", "final"),
    [((10, 5), 1 * 1), ((96, 96, 3), 6 * 6), ((1, 1, 2), 1)],  # 10x5 -> 5x3 -> 3x2 -> 2x1 -> 1x1
)
def test_pooling_never_vanishes(shape, final):
    params, output = _shapes(PoolingCNN(), jnp.zeros(shape))
    assert params["Dense_0"]["kernel"].shape == (final * 64, 512)
    assert output.shape == (512,)
    channels = shape[2] if len(shape) == 3 else 1
    assert [params[f"Conv_{i}"]["kernel"].shape for i in range(4)] == [
        (3, 3, channels, 32),
        (3, 3, 32, 32),
        (3, 3, 32, 64),
        (3, 3, 64, 64),
    ]


def test_pooling_cnn_tells_small_boards_apart():
    module, boards = (
        PoolingCNN((4, 4, 4, 4), 8),
        jnp.zeros((2, 10, 5)).at[0, 0, 0].set(1.0).at[1, 9, 4].set(1.0),
    )
    features = _apply_to_batch(module, _init(module, boards[0]), boards)
    assert features.shape == (2, 8)
    assert not np.allclose(features[0], features[1])


def test_small_cnn_on_catch():
    params, output = _shapes(SmallCNN(), jnp.zeros((10, 5)))
    # a 3x3 convolution leaves 8x3 of 16 channels
    assert _count(params) == (3 * 3 * 1 * 16 + 16) + (8 * 3 * 16 * 128 + 128)
    assert output.shape == (128,)


def test_small_cnn_on_a_board_is_the_convolution_by_hand():
    module = SmallCNN(channels=1, features=2)
    board = jnp.arange(9.0).reshape(3, 3)
    params = {
        "Conv_0": {"kernel": jnp.ones((3, 3, 1, 1)).at[0, 0].set(2.0), "bias": jnp.array([1.0])},
        "Dense_0": {"kernel": jnp.array([[1.0, -1.0]]), "bias": jnp.array([0.5, 0.5])},
    }
    # 0 + 1 + ... + 8 = 36, the corner that counts twice is 0, plus 1; then 37.5, and ReLU of -36.5
    np.testing.assert_allclose(_apply(module, {"params": params}, board), [37.5, 0.0])


@pytest.mark.parametrize(("module", "shape"), [(MLP((4,)), (6,)), (SmallCNN(features=4), (4, 4, 2))])
def test_bytes_are_scaled_and_floats_are_not(module, shape):
    pixels = jnp.asarray(np.random.default_rng(0).integers(256, size=shape), jnp.uint8)
    variables = _init(module, pixels)
    features = _apply(module, variables, pixels)
    np.testing.assert_allclose(features, _apply(module, variables, pixels / 255.0), rtol=1e-5, atol=1e-6)
    assert not np.allclose(features, _apply(module, variables, pixels.astype(jnp.float32)))
    np.testing.assert_allclose(  # other integers and flags are numbers as they stand
        _apply(module, variables, (pixels > 99).astype(jnp.int32)), _apply(module, variables, pixels > 99)
    )


def test_one_hot_selects_a_row():
    module = OneHot(3, MLP((4,), nn.tanh), start=10)
    variables = _init(module, jnp.int32(10))
    kernel = variables["params"]["torso"]["Dense_0"]["kernel"]
    for i in range(3):
        np.testing.assert_allclose(
            _apply(module, variables, jnp.int32(10 + i)), np.tanh(kernel[i]), rtol=1e-6
        )


@pytest.mark.parametrize("module", [NatureCNN(), PoolingCNN(), SmallCNN()])
@pytest.mark.parametrize("shape", [(84,), (2, 84, 84, 4)])
def test_a_convolutional_network_refuses_what_is_not_one_image(module, shape):
    with pytest.raises(InvalidInput, match="one image"):
        _shapes(module, jnp.zeros(shape))


def test_images_too_small_for_a_network_are_refused():
    with pytest.raises(InvalidInput, match="at least 36x36, not 35x84"):
        _shapes(NatureCNN(), jnp.zeros((35, 84, 4)))
    with pytest.raises(InvalidInput, match="at least 3x3, not 2x9"):
        _shapes(SmallCNN(), jnp.zeros((2, 9, 1)))
    assert _shapes(NatureCNN(), jnp.zeros((36, 36, 4)))[1].shape == (512,)


# --- noise and normalisation -------------------------------------------------------------------


def test_noisy_layers_start_as_published_and_are_their_means_without_noise():
    module, x = NoisyDense(300, 0.5), _normal(16)
    params = _init(module, x)["params"]
    for leaf in (params["kernel"], params["bias"]):
        assert 0.24 < jnp.abs(leaf).max() <= 0.25  # uniform in ±1 / sqrt(16)
        assert leaf.min() < -0.23
    for leaf in (params["kernel_deviation"], params["bias_deviation"]):
        np.testing.assert_allclose(leaf, 0.5 / 4)
    expected = np.asarray(x) @ params["kernel"] + params["bias"]
    np.testing.assert_allclose(_apply(module, {"params": params}, x), expected, rtol=1e-5, atol=1e-6)


def test_noise_is_factorised_and_scaled_by_what_is_learnt():
    """With means of 0 and deviations of 1 a layer's outputs for unit inputs are f(ε_in) f(ε_out)."""
    inputs, outputs, number = 5, 4, 3000
    module: Any = NoisyDense(outputs)
    variables = {
        "params": {
            "kernel": jnp.zeros((inputs, outputs)),
            "bias": jnp.zeros(outputs),
            "kernel_deviation": jnp.ones((inputs, outputs)),
            "bias_deviation": jnp.ones(outputs),
        }
    }

    def drawn(key):
        rngs = {"noise": key}
        bias = module.apply(variables, jnp.zeros(inputs), rngs=rngs)
        return bias, jax.vmap(lambda x: module.apply(variables, x, rngs=rngs) - bias)(jnp.eye(inputs))

    biases, kernels = jax.jit(jax.vmap(drawn))(jax.random.split(jax.random.key(0), number))
    # The bias's noise is the outputs' factor: what it leaves is the inputs', the same for every output.
    factors = kernels / biases[:, None, :]
    np.testing.assert_allclose(
        factors, np.broadcast_to(factors[:, :, :1], factors.shape), rtol=2e-2, atol=1e-3
    )
    # The factors are signed roots of standard normal numbers: the square has mean √(2/π), its square 1.
    for factor in (biases, factors[:, :, 0]):
        np.testing.assert_allclose(np.mean(factor, axis=0), 0.0, atol=0.08)
        np.testing.assert_allclose(np.mean(factor**2, axis=0), np.sqrt(2 / np.pi), atol=0.06)
        np.testing.assert_allclose(np.mean(factor**4, axis=0), 1.0, atol=0.15)
        correlation = np.corrcoef(factor.T)
        np.testing.assert_allclose(correlation, np.eye(len(correlation)), atol=0.08)
    assert abs(np.corrcoef(biases[:, 0], factors[:, 0, 0])[0, 1]) < 0.08
    # Deviations scale it.
    half = jax.tree.map(lambda leaf: leaf / 2, variables)
    rngs = {"noise": jax.random.key(1)}
    np.testing.assert_allclose(
        module.apply(half, _normal(inputs), rngs=rngs),
        module.apply(variables, _normal(inputs), rngs=rngs) / 2,
        rtol=1e-5,
    )


def test_no_weights_are_made_for_each_observation():
    """A batch in which every row has a noise of its own holds no array of its size times the weights'."""
    module, batch, inputs, outputs = NoisyDense(30), 7, 20, 30
    variables = _init(module, jnp.zeros(inputs))

    def act(keys, x):
        return jax.vmap(lambda key, x: module.apply(variables, x, rngs={"noise": key}))(keys, x)

    keys = jax.random.split(jax.random.key(0), batch)
    jaxpr = jax.make_jaxpr(act)(keys, jnp.zeros((batch, inputs)))

    def sizes(jaxpr):
        for equation in jaxpr.eqns:
            yield from (variable.aval.size for variable in equation.outvars)
            for inner in jax.extend.core.jaxprs_in_params(equation.params):
                yield from sizes(inner)

    assert max(sizes(jaxpr.jaxpr)) < inputs * outputs


def test_layers_of_a_network_have_noises_of_their_own():
    params = _init(MLP((8, 8), noisy=0.5), jnp.ones(8))["params"]
    assert set(params) == {"NoisyDense_0", "NoisyDense_1"}

    def of_layer(layer):
        zero = jax.tree.map(jnp.zeros_like, params)
        noisy = jax.tree.map(jnp.ones_like, params[layer]) | {"kernel": jnp.zeros((8, 8))}
        return {"params": zero | {layer: noisy}}

    # The last layer sees zeros either way: what is added to its bias is its own noise.
    deep: Any = MLP((8, 8), nn.tanh, noisy=0.5)
    module: Any = MLP((8,), nn.tanh, noisy=0.5)
    rngs = {"noise": jax.random.key(0)}
    two = deep.apply(of_layer("NoisyDense_1"), jnp.zeros(8), rngs=rngs)
    one = module.apply(
        {"params": {"NoisyDense_0": of_layer("NoisyDense_0")["params"]["NoisyDense_0"]}},
        jnp.zeros(8),
        rngs=rngs,
    )
    assert not np.any(np.isclose(one, two))


@pytest.mark.parametrize("module", [NatureCNN(noisy=0.5), SmallCNN(noisy=0.5), PoolingCNN(noisy=0.5)])
def test_convolutional_networks_are_noisy_in_their_dense_layer(module):
    params, output = _shapes(module, jnp.zeros((36, 36, 1)))
    assert [name for name in params if "Noisy" in name] == ["NoisyDense_0"]
    assert not [name for name in params if name.startswith("Dense")]
    assert output.shape == (module.features if hasattr(module, "features") else 512,)


def test_layer_normalisation_is_of_one_observation():
    module = MLP((6,), nn.tanh, normalisation="layer")
    observations = _normal(5, 4)
    variables = _init(module, observations[0])
    assert set(variables) == {"params"}
    params = variables["params"]
    x = np.asarray(observations) @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"]
    x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(
        _apply_to_batch(module, variables, observations), np.tanh(x), rtol=1e-4, atol=1e-5
    )


CONVOLUTIONS = {NatureCNN: (3, (36, 36, 2)), PoolingCNN: (4, (6, 6, 2)), SmallCNN: (1, (5, 5, 2))}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_convolutions_are_normalised_too(kind):
    number, shape = CONVOLUTIONS[kind]
    plain = set(_shapes(kind(), jnp.zeros(shape))[0])
    assert plain == {"Dense_0", *(f"Conv_{i}" for i in range(number))}
    for how, name in (("layer", "LayerNorm"), ("batch", "BatchNorm")):
        params = _shapes(kind(normalisation=how), jnp.zeros(shape))[0]
        assert set(params) == plain | {f"{name}_{i}" for i in range(number + 1)}
        for i in range(number):
            assert params[f"{name}_{i}"]["scale"].shape == params[f"Conv_{i}"]["bias"].shape


def test_a_convolution_is_normalised_before_its_activation():
    """By hand: at each place across the channels, or each channel across the batch and all places."""
    observations = 3 * _normal(5, 4, 4, 2) + 1
    for how in ("layer", "batch"):
        module = SmallCNN(3, 2, normalisation=how)  # type: ignore[arg-type]
        variables = _init(module, observations[0])
        params = variables["params"]

        mutable = ["intermediates", *([] if how == "layer" else ["batch_stats"])]

        def one(observation, module=module, variables=variables, mutable=mutable):
            return module.apply(variables, observation, mutable=mutable, capture_intermediates=True)[1]

        seen = jax.jit(jax.vmap(one, axis_name="batch"))(observations)["intermediates"]
        x = np.asarray(seen["Conv_0"]["__call__"][0])  # [5, 2, 2, 3]
        assert x.shape == (5, 2, 2, 3)
        axes, epsilon = ((3,), 1e-6) if how == "layer" else ((0, 1, 2), 1e-5)
        x = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)
        dense = np.maximum(x, 0).reshape(5, -1) @ params["Dense_0"]["kernel"]
        np.testing.assert_allclose(seen["Dense_0"]["__call__"][0], dense, rtol=1e-3, atol=1e-4)


def _convolved(x, layer, stride, pad):
    kernel = np.asarray(layer["kernel"])
    size = kernel.shape[:2]
    patches = np.lib.stride_tricks.sliding_window_view(
        np.pad(x, ((pad, pad), (pad, pad), (0, 0))), size, (0, 1)
    )
    return np.einsum("hwcij,ijcf->hwf", patches[::stride, ::stride], kernel) + layer["bias"]


def _pooled(x):
    height, width, channels = x.shape
    padded = np.pad(x, ((0, height % 2), (0, width % 2), (0, 0)), constant_values=-np.inf)
    return padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2, channels).max((1, 3))


def _layer_normalised(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


@pytest.mark.parametrize("how", ["none", "layer"])
@pytest.mark.parametrize("kind", [NatureCNN, PoolingCNN])
def test_convolutional_networks_are_their_papers_by_hand(kind, how):
    """Convolve, normalise, ReLU, pool; then one dense layer likewise."""
    shape = (44, 40, 2) if kind is NatureCNN else (7, 5, 2)
    layers = [(4, 0), (2, 0), (1, 0)] if kind is NatureCNN else [(1, 1)] * 4  # strides and padding
    observation = _normal(*shape)
    module = kind(kernel_init=PYTORCH, normalisation=how)
    params = jax.device_get(_init(module, observation)["params"])
    normalised = _layer_normalised if how == "layer" else lambda x: x
    x = np.asarray(observation)
    for i, (stride, pad) in enumerate(layers):
        x = np.maximum(normalised(_convolved(x, params[f"Conv_{i}"], stride, pad)), 0)
        x = _pooled(x) if kind is PoolingCNN else x
    x = x.reshape(-1) @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"]
    expected = np.maximum(normalised(x), 0)
    assert 0.2 < np.mean(expected > 0) < 0.8
    np.testing.assert_allclose(
        _apply(module, {"params": params}, observation), expected, rtol=1e-3, atol=1e-4
    )


def test_batch_normalisation_learns_from_the_batch_and_acts_by_what_it_learnt():
    module = MLP((6,), nn.tanh, normalisation="batch")
    observations = 3 * _normal(50, 4) + 1
    variables = _init(module, observations[0])
    statistics = variables["batch_stats"]["BatchNorm_0"]
    np.testing.assert_array_equal(statistics["mean"], np.zeros(6))
    np.testing.assert_array_equal(statistics["var"], np.ones(6))
    dense = variables["params"]["Dense_0"]
    x = np.asarray(observations) @ dense["kernel"] + dense["bias"]

    @jax.jit
    def learn(variables):
        def one(observation):
            return module.apply(variables, observation, mutable=["batch_stats"])

        return jax.vmap(one, out_axes=(0, None), axis_name="batch")(observations)

    features, updated = learn(variables)
    expected = np.tanh((x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5))
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)
    moved = updated["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(moved["mean"], 0.01 * x.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moved["var"], 0.99 + 0.01 * x.var(axis=0), rtol=1e-4, atol=1e-5)
    # Acting: one observation, with no batch in sight.
    acting = _apply(module, {**variables, **updated}, observations[0])
    expected = np.tanh((x[0] - moved["mean"]) / np.sqrt(np.asarray(moved["var"]) + 1e-5))
    np.testing.assert_allclose(acting, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "shape"), [(3, (10, 10, 6)), (2, (5, 7, 1)), (1, (4, 4, 3))])
def test_a_shifted_convolution_is_a_convolution(size, shape):
    """Its values, its parameters and how they start, and its gradients."""
    shifted = ShiftedConv(7, size, PYTORCH)
    bias = Uniform(PYTORCH.bound(size * size * shape[-1]))  # type: ignore[attr-defined]
    plain = nn.Conv(7, (size, size), padding="VALID", kernel_init=PYTORCH, bias_init=bias)
    x = _normal(*shape)
    variables = _init(shifted, x)
    chex.assert_trees_all_equal(variables, _init(plain, x))

    def loss(module, variables):
        return jnp.sum(jnp.sin(module.apply(variables, x)))

    np.testing.assert_allclose(
        _apply(shifted, variables, x), _apply(plain, variables, x), rtol=1e-4, atol=1e-5
    )
    ours, theirs = (
        jax.jit(jax.grad(loss, argnums=1), static_argnums=0)(module, variables) for module in (shifted, plain)
    )
    chex.assert_trees_all_close(ours, theirs, rtol=1e-3, atol=1e-4)


# --- heads -------------------------------------------------------------------------------------


def test_heads_have_the_shapes_that_the_losses_expect():
    observation = jnp.ones(3)
    assert _shapes(QNetwork(MLP((8,)), 5), observation)[1].shape == (5,)
    policy, value = _shapes(ActorCritic(MLP((8,)), CategoricalHead(5)), observation)[1]
    assert (policy.logits.shape, value.shape) == ((5,), ())
    assert _shapes(DeterministicActor(MLP((8,)), 2), observation)[1].shape == (2,)
    assert _shapes(Critic(MLP((8,))), observation, jnp.ones(2))[1].shape == ()


def test_actor_and_critic_share_a_torso_only_if_asked():
    observation, torso = jnp.ones(3), MLP((8,))
    shared = _shapes(ActorCritic(torso, CategoricalHead(2)), observation)[0]
    assert set(shared) == {"torso", "policy", "value"}
    for critic_torso in (MLP((8,)), torso):  # an equal torso, and the very same object
        separate = _shapes(ActorCritic(torso, CategoricalHead(2), critic_torso), observation)[0]
        assert set(separate) == {"torso", "critic_torso", "policy", "value"}
        chex.assert_trees_all_equal_shapes(separate["torso"], separate["critic_torso"])
    wider = _shapes(ActorCritic(torso, CategoricalHead(2), MLP((16,))), observation)[0]
    assert wider["value"]["kernel"].shape == (16, 1)


def test_separate_torsos_keep_the_value_s_gradient_off_the_policy():
    observation = jnp.ones(3)
    module = ActorCritic(MLP((8,), nn.tanh), CategoricalHead(2), MLP((8,), nn.tanh))
    gradients = jax.grad(lambda variables: module.apply(variables, observation)[1])(
        _init(module, observation)
    )
    size = {
        name: float(sum(abs(g).sum() for g in jax.tree.leaves(tree)))
        for name, tree in gradients["params"].items()
    }
    assert size["torso"] == size["policy"] == 0
    assert size["critic_torso"] > 0
    assert size["value"] > 0


def test_the_first_policy_is_nearly_uniform():
    module, observations = (
        ActorCritic(MLP((64, 64), nn.tanh), CategoricalHead(4)),
        _normal(50, 6),
    )
    variables = _init(module, observations[0])
    policy, _ = _apply_to_batch(module, variables, observations)
    assert 0 < jnp.abs(policy.logits).max() < 0.05
    # The weights into each action have norm about 0.01.
    norms = jnp.linalg.norm(variables["params"]["policy"]["kernel"], axis=0)
    np.testing.assert_allclose(norms, 0.01, rtol=0.4)


def test_deterministic_actor_starts_within_its_range_and_acts_within_the_box():
    module = DeterministicActor(MLP((256, 128), nn.relu, XAVIER), 2)
    observations = 100 * _normal(20, 3)
    variables = _init(module, observations[0])
    kernel = variables["params"]["action"]["kernel"]
    assert jnp.abs(kernel).max() <= 0.3
    assert kernel.max() > 0.27  # both signs, all the way
    assert kernel.min() < -0.27
    actions = _apply_to_batch(module, variables, observations)
    assert jnp.abs(actions).max() <= 1
    assert jnp.abs(actions).max() > 0.9
    paper = _init(DeterministicActor(MLP((256,)), 2, Uniform(0.003)), observations[0])["params"]["action"]
    assert 0.0027 < jnp.abs(paper["kernel"]).max() <= 0.003
    assert jnp.abs(paper["bias"]).max() <= 0.003


def test_critic_starts_small_and_sees_the_action():
    module, observation = Critic(MLP((256, 128), nn.relu, XAVIER)), jnp.ones(3)
    variables = _init(module, observation, jnp.ones(2))
    assert variables["params"]["torso"]["Dense_0"]["kernel"].shape == (5, 256)
    kernel = variables["params"]["value"]["kernel"]
    assert kernel.max() <= 0.003
    assert kernel.min() >= -0.003
    assert kernel.max() > 0.0027
    assert kernel.min() < -0.0027
    gradient = jax.grad(module.apply, argnums=2)(variables, observation, jnp.ones(2))
    assert jnp.all(gradient != 0)


# --- starting values ---------------------------------------------------------------------------


def test_pytorch_s_default_bounds_weights_and_biases_by_the_fan_in():
    params = _init(MLP((400,), kernel_init=PYTORCH), jnp.ones(16))["params"]["Dense_0"]
    for leaf in (params["kernel"], params["bias"]):
        assert 0.24 < jnp.abs(leaf).max() <= 0.25  # 1 / sqrt(16)
        assert leaf.min() < -0.23
    params = _init(SmallCNN(channels=200, kernel_init=PYTORCH), jnp.ones((3, 3, 4)))["params"]["Conv_0"]
    for leaf in (params["kernel"], params["bias"]):
        assert 0.16 < jnp.abs(leaf).max() <= 1 / 6  # 1 / sqrt(3 * 3 * 4)


def test_biases_start_at_zero_otherwise():
    params = _init(MLP((8,), kernel_init=XAVIER), jnp.ones(3))["params"]["Dense_0"]
    assert not params["bias"].any()
    assert jnp.abs(params["kernel"]).max() <= (6 / 11) ** 0.5


@pytest.mark.parametrize("shape", [(64, 64), (4, 120), (120, 4), (3, 3, 2, 8), (8, 49), (1, 5), (1, 1)])
def test_orthogonal_weights(shape):
    kernel = np.asarray(jax.jit(lambda key: Orthogonal(2.0)(key, shape))(jax.random.key(0)), np.float64)
    assert kernel.shape == shape
    matrix = kernel.reshape(-1, shape[-1])
    matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    np.testing.assert_allclose(matrix.T @ matrix, 4 * np.eye(matrix.shape[1]), atol=1e-5)


def test_every_orthogonal_matrix_is_as_likely_as_any_other():
    """Of those of 3 by 3, 4000 at once; the bars are four standard deviations.

    The mean of an element is 0 and of its square a third, and so it is after any rotation; the trace's square
    has a mean of 1 (Diaconis & Shahshahani 1994), where a QR decomposition whose signs are left as they come
    has another; half of the determinants are 1.
    """
    number, size = 4000, 3
    keys = jax.random.split(jax.random.key(2), number)
    draw = jax.jit(jax.vmap(lambda key: Orthogonal()(key, (size, size))))
    matrices = np.asarray(draw(keys), np.float64)
    eyes = np.swapaxes(matrices, 1, 2) @ matrices
    np.testing.assert_allclose(eyes, np.broadcast_to(np.eye(size), eyes.shape), atol=1e-5)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]
    root = np.sqrt(number)
    for each in (matrices, rotation @ matrices, matrices @ rotation):
        np.testing.assert_allclose(each.mean(axis=0), 0.0, atol=4 * np.sqrt(1 / 3) / root)
        np.testing.assert_allclose((each**2).mean(axis=0), 1 / 3, atol=4 * 0.3 / root)
        traces = np.trace(each, axis1=1, axis2=2)
        np.testing.assert_allclose(np.mean(traces), 0.0, atol=4 / root)
        np.testing.assert_allclose(np.mean(traces**2), 1.0, atol=4 * np.sqrt(2) / root)
    np.testing.assert_allclose(np.mean(np.linalg.det(matrices) > 0), 0.5, atol=2 / root)


def test_the_nearest_orthogonal_matrix_is_the_polar_factor():
    """Also of a matrix that is nearly singular, and of a large one."""
    for matrix in (_normal(12, 5), _normal(6, 6) * jnp.array([1, 1, 1, 1, 1, 1e-3]), 1e4 * _normal(9, 2)):
        u, _, v = np.linalg.svd(np.asarray(matrix, np.float64), full_matrices=False)
        np.testing.assert_allclose(jax.jit(nearest_orthogonal)(matrix), u @ v, atol=2e-4)


def test_orthogonal_layers_have_no_biases_at_first_and_the_gain_for_relu():
    module = QNetwork(MLP((6,), kernel_init=INITIALISERS["orthogonal"]), 2, Orthogonal(0.01))
    params = _init(module, jnp.ones(9))["params"]
    for layer, gain in ((params["torso"]["Dense_0"], np.sqrt(2)), (params["values"], 0.01)):
        kernel = np.asarray(layer["kernel"], np.float64)
        np.testing.assert_allclose(kernel.T @ kernel, gain**2 * np.eye(kernel.shape[1]), atol=1e-5 * gain)
        assert not layer["bias"].any()
    with pytest.raises(InvalidInput, match=r"two axes or more, not the shape \(5,\)"):
        Orthogonal()(jax.random.key(0), (5,))


def test_networks_are_initialised_alike_for_many_seeds_at_once():
    module, observation = ActorCritic(MLP((8,)), CategoricalHead(2)), jnp.ones(3)
    keys = jax.random.split(jax.random.key(5), 3)
    together = jax.jit(jax.vmap(module.init, in_axes=(0, None)))(keys, observation)
    alone = jax.jit(module.init)(keys[1], observation)
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[1], together), alone, rtol=1e-6)
    first, last = (jax.tree.leaves(jax.tree.map(lambda x, i=i: x[i], together)) for i in (0, 2))
    assert not all(np.array_equal(a, b) for a, b in zip(first, last, strict=True))


# --- identity ----------------------------------------------------------------------------------

MAKERS = [
    lambda: MLP((8, 8), nn.tanh, XAVIER),
    lambda: NatureCNN(PYTORCH),
    lambda: PoolingCNN(),
    lambda: SmallCNN(features=32),
    lambda: OneHot(4, MLP((8,)), 1),
    lambda: QNetwork(MLP((8,), nn.relu, Uniform(0.1)), 3),
    lambda: ActorCritic(MLP((8,)), CategoricalHead(3), MLP((8,)), SMALL),
    lambda: DeterministicActor(MLP((8,)), 2, Uniform(0.3)),
    lambda: Critic(MLP((8,))),
    lambda: default_torso(gymnasium.spaces.Box(-1, 1, (4,)), (16, 16), nn.tanh),
]


def test_modules_made_alike_are_equal_and_others_are_not():
    first, second = [make() for make in MAKERS], [make() for make in MAKERS]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            assert (a == b) == (i == j)
            assert i != j or hash(a) == hash(b)
    assert MLP((8,)) != MLP((9,))
    assert MLP((8,), nn.relu) != MLP((8,), nn.tanh)
    assert MLP((8,), kernel_init=Orthogonal(1.0)) == MLP((8,), kernel_init=Orthogonal())
    assert MLP((8,), kernel_init=Orthogonal(1.0)) != MLP((8,), kernel_init=Orthogonal(2.0))
    assert MLP((8,), kernel_init=Uniform(0.1)) != MLP((8,), kernel_init=Uniform(0.2))
    assert ActorCritic(MLP((8,)), CategoricalHead(3)) != ActorCritic(MLP((8,)), CategoricalHead(3), MLP((8,)))


def test_equal_modules_share_one_trace():
    @chex.assert_max_traces(n=1)
    def apply(module, variables, observation):
        return module.apply(variables, observation)

    chex.clear_trace_counter()
    compiled = jax.jit(apply, static_argnums=0)
    variables = _init(QNetwork(MLP((8,)), 3), jnp.ones(4))
    outputs = [compiled(QNetwork(MLP((8,)), 3), variables, jnp.ones(4)) for _ in range(3)]
    np.testing.assert_array_equal(outputs[0], outputs[2])
    with pytest.raises(AssertionError, match="traced"):
        compiled(QNetwork(MLP((8,), nn.tanh), 3), variables, jnp.ones(4))


# --- the choice --------------------------------------------------------------------------------


def _box(*shape, dtype: Any = np.float32):
    return gymnasium.spaces.Box(0, 1, shape, dtype)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (_box(4), MLP((32,), nn.tanh, XAVIER)),
        (_box(), MLP((32,), nn.tanh, XAVIER)),
        (_box(10, 5), MLP((32,), nn.tanh, XAVIER)),
        (_box(2, 9, 3), MLP((32,), nn.tanh, XAVIER)),  # too short for a 3x3 filter
        (gymnasium.spaces.MultiBinary(6), MLP((32,), nn.tanh, XAVIER)),
        (gymnasium.spaces.Discrete(16, start=1), OneHot(16, MLP((32,), nn.tanh, XAVIER), 1)),
        (_box(84, 84, 4, dtype=np.uint8), NatureCNN(XAVIER)),
        (_box(36, 36, 1), NatureCNN(XAVIER)),
        (_box(35, 84, 1), SmallCNN(kernel_init=XAVIER)),
        (_box(10, 10, 6), SmallCNN(kernel_init=XAVIER)),
    ],
    ids=repr,
)
def test_default_torso_suits_the_observation_and_accepts_it(space, expected):
    torso = default_torso(space, (32,), nn.tanh, XAVIER)
    assert torso == expected
    output = _shapes(QNetwork(torso, 2), jnp.asarray(space.sample()))[1]
    assert output.shape == (2,)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (gymnasium.spaces.Dict({"x": _box(2)}), "Dict space"),
        (gymnasium.spaces.Tuple([_box(2)]), "Tuple space"),
        (gymnasium.spaces.Text(3), "Text space"),
        (_box(2, 2, 2, 2), "at most"),
        (_box(4, 84, 84), "channel-first"),
        (_box(1, 84, 84), "channel-first"),
    ],
    ids=repr,
)
def test_spaces_without_a_network_are_refused_in_one_line(space, message):
    with pytest.raises(InvalidInput, match=message) as error:
        default_torso(space)
    assert "\n" not in str(error.value)


def test_hidden_sizes_may_be_a_list():
    assert hash(networks.default_torso(_box(4), [8, 8])) == hash(MLP((8, 8)))  # pyright: ignore[reportArgumentType]
