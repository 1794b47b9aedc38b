"""Networks: flax modules that map ONE observation to features, action values, policies or actions.

A torso turns an observation into a feature vector; a network puts heads on a torso. The caller
vmaps over batches: XLA compiles that into the same matrix products and convolutions as a batched
call. Images are channel-last ``[H, W, C]``; uint8 observations are scaled to [0, 1].

Modules are static in an agent's Config, so they must compare by value: two made alike are equal.
Therefore fields are numbers, tuples, modules, and functions that have a name (``nn.relu``, ``XAVIER``,
``Uniform(0.3)``), never a lambda, nor an initialiser made on the spot (``nn.initializers.normal()``
is a new function at every call).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp

from purejaxrl.types import Array, InvalidInput, Key, PyTree

Activation = Callable[[Array], Array]
Initialiser = Callable[..., Array]


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Weights and biases uniform in ``[-scale, scale]``; without a scale, in ±1/sqrt(fan-in).

    The latter is PyTorch's default for linear and convolutional layers, and what Lillicrap et al.
    (2016, section 7) give DDPG's hidden layers.
    """

    scale: float | None = None

    def __call__(self, key: Key, shape: Sequence[int], dtype=jnp.float32) -> Array:
        scale = self.bound(math.prod(shape[:-1]))
        return jax.random.uniform(key, tuple(shape), dtype, -scale, scale)

    def bound(self, fan_in: int) -> float:
        """The largest absolute value that a layer with so many inputs to a unit may start with."""
        return 1 / math.sqrt(fan_in) if self.scale is None else self.scale


@dataclasses.dataclass(frozen=True)
class Orthogonal:
    """Weights whose columns are orthogonal and of norm ``gain``, or rows where there are fewer; biases of 0.

    The matrix is uniform over all that are so: the factor of a Gaussian one that is nearest to it, which is
    found by products of matrices alone (Newton and Schulz's iteration). A convolution's kernel counts as a
    matrix of its patches and its filters. A gain of √2 makes up for what ReLU cuts off.

    Source: Saxe, McClelland & Ganguli (2014), "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks", section 3; Higham (1986), "Computing the polar decomposition".
    """

    gain: float = 1.0

    def __call__(self, key: Key, shape: Sequence[int], dtype=jnp.float32) -> Array:
        if len(shape) < 2:
            raise InvalidInput(f"an orthogonal matrix has two axes or more, not the shape {tuple(shape)}")
        columns = shape[-1]
        rows = math.prod(shape) // columns
        matrix = jax.random.normal(key, (max(rows, columns), min(rows, columns)), jnp.float32)
        matrix = nearest_orthogonal(matrix)
        return (self.gain * (matrix if rows >= columns else matrix.T)).reshape(tuple(shape)).astype(dtype)


def nearest_orthogonal(matrix: Array) -> Array:
    """The matrix ``[m, n]`` with orthonormal columns that is nearest to one of full rank, m being n or more.

    Not by a QR or singular value decomposition: on a CPU those of several seeds at once can wait for each
    other for ever.
    """
    exact = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    identity = jnp.eye(matrix.shape[1])

    def go_on(carry: tuple[Array, Array, Array]) -> Array:
        _, error, number = carry
        return (error > 1e-4) & (number < 100)

    def improve(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        # Singular values s become s (3 − s²) / 2: half as large again while small, squared in error near 1.
        x, _, number = carry
        gram = exact(x.T, x)
        return exact(x, 1.5 * identity - 0.5 * gram), jnp.max(jnp.abs(gram - identity)), number + 1

    # No singular value is above the root of the product of these norms: it then converges.
    size = jnp.abs(matrix)
    bound = jnp.sqrt(jnp.max(jnp.sum(size, axis=0)) * jnp.max(jnp.sum(size, axis=1)))
    return jax.lax.while_loop(go_on, improve, (matrix / bound, jnp.float32(jnp.inf), jnp.int32(0)))[0]


LECUN: Initialiser = nn.initializers.lecun_normal()  # flax's default
XAVIER: Initialiser = nn.initializers.xavier_uniform()  # Glorot & Bengio (2010), eq. 16
PYTORCH: Initialiser = Uniform()
# A policy head that starts near the uniform distribution: weights of norm 0.01 a unit.
SMALL: Initialiser = nn.initializers.variance_scaling(1e-4, "fan_in", "truncated_normal")
ZEROS: Initialiser = nn.initializers.zeros

# Orthogonal layers have the gain for ReLU, and heads too that are given nothing else, as in CleanRL's PQN; a
# head of its own gain is given Orthogonal(0.01), say.
INITIALISERS: dict[str, Initialiser] = {
    "lecun": LECUN,
    "xavier": XAVIER,
    "pytorch": PYTORCH,
    "orthogonal": Orthogonal(math.sqrt(2)),
}
ACTIVATIONS: dict[str, Activation] = {"relu": nn.relu, "tanh": nn.tanh}

# The names by which a Config chooses, so that a command line can, too.
TorsoName = Literal["auto", "mlp", "small_cnn", "pooling_cnn", "nature_cnn", "nature_convolutions"]
InitialiserName = Literal["lecun", "xavier", "pytorch", "orthogonal"]
ActivationName = Literal["relu", "tanh"]
CellName = Literal["lstm", "gru"]
Normalisation = Literal["none", "layer", "batch"]
PolicyHead = Callable[[nn.Module, Array, Initialiser], Any]
"""Of the module that calls, features and how weights begin: a distribution of actions."""


def _bias_init(kernel_init: Initialiser, fan_in: int) -> Initialiser:
    """Biases start as the weights do where these are ``Uniform``, and at zero elsewhere."""
    return Uniform(kernel_init.bound(fan_in)) if isinstance(kernel_init, Uniform) else nn.initializers.zeros


def dense(
    x: Array,
    features: int,
    kernel_init: Initialiser,
    name: str | None = None,
    noisy: float | None = None,
    use_bias: bool = True,
) -> Array:
    """A linear layer of the module that calls; with ``noisy``, a :class:`NoisyDense` of that scale."""
    if noisy is not None:
        return NoisyDense(features, noisy, name=name)(x)
    bias_init = _bias_init(kernel_init, x.shape[-1])
    return nn.Dense(features, use_bias, kernel_init=kernel_init, bias_init=bias_init, name=name)(x)


class NoisyDense(nn.Module):
    """A linear layer whose weights and biases are drawn around learnt means with learnt deviations.

    The noise is factorised: a number for each input and one for each output. It is drawn from the
    random numbers named ``noise``; where there are none the layer is its means. Inputs and outputs are
    multiplied by it, never the weights: of a batch in which each observation has a noise of its own there
    would be as many matrices of weights.

    Args:
        features: the number of outputs.
        scale: σ₀; deviations start at ``scale / sqrt(inputs)``, means uniform in ±1/sqrt(inputs).

    Source: Fortunato et al. (2018), "Noisy networks for exploration", eqs. 9-11 and section 3.2.
    """

    features: int
    scale: float = 0.5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        inputs = x.shape[-1]
        mean = Uniform(1 / math.sqrt(inputs))
        deviation = nn.initializers.constant(self.scale / math.sqrt(inputs))
        kernel = self.param("kernel", mean, (inputs, self.features))
        bias = self.param("bias", mean, (self.features,))
        kernel_deviation = self.param("kernel_deviation", deviation, (inputs, self.features))
        bias_deviation = self.param("bias_deviation", deviation, (self.features,))
        output = x @ kernel + bias
        if self.has_rng("noise"):
            draws = jax.random.normal(self.make_rng("noise"), (inputs + self.features,))
            noise = jnp.sign(draws) * jnp.sqrt(jnp.abs(draws))
            output += ((x * noise[:inputs]) @ kernel_deviation + bias_deviation) * noise[inputs:]
        return output


def normalise(module: nn.Module, x: Array, how: Normalisation) -> Array:
    """Features ``[…, F]`` of a module made alike in scale, across the features or across the batch.

    ``"layer"`` needs no batch (Ba et al. 2016); of an image it is across the channels at each place, as in
    the code of Gallici et al. (2025), where CleanRL's is across all places, too. ``"batch"`` takes the mean
    and variance of the batch that the caller vmaps over under the name ``batch`` while the collection
    ``batch_stats`` is mutable, which is where one learns; elsewhere their running averages (Ioffe & Szegedy
    2015). Of images these are of each channel, over all places.
    """
    if how == "layer":
        return nn.LayerNorm()(x)
    if how == "batch":
        learning = module.is_mutable_collection("batch_stats")
        return nn.BatchNorm(use_running_average=not learning, axis_name="batch")(x)
    return x


def _conv(
    x: Array, features: int, kernel: int, stride: int, kernel_init: Initialiser, padding: str = "VALID"
) -> Array:
    bias_init = _bias_init(kernel_init, kernel * kernel * x.shape[-1])
    return nn.Conv(
        features,
        (kernel, kernel),
        strides=(stride, stride),
        padding=padding,
        kernel_init=kernel_init,
        bias_init=bias_init,
    )(x)


def as_float(observation: Array) -> Array:
    """The observation as floats; bytes (pixels, mostly) are scaled from 0..255 to [0, 1]."""
    observation = jnp.asarray(observation)
    if observation.dtype == jnp.uint8:
        return observation.astype(jnp.float32) / 255
    return observation if jnp.issubdtype(observation.dtype, jnp.floating) else observation.astype(jnp.float32)


def _as_image(observation: Array) -> Array:
    """The observation as floats ``[H, W, C]``; a board ``[H, W]`` has one channel."""
    if observation.ndim not in (2, 3):
        raise InvalidInput(
            "A convolutional network sees one image [H, W, C] or board [H, W], "
            f"not shape {observation.shape}; vmap over batches."
        )
    image = as_float(observation)
    return image[:, :, None] if image.ndim == 2 else image


class MLP(nn.Module):
    """Dense layers, each with an activation, on the flattened observation.

    Args:
        features: the width of each layer; the last is that of the feature vector. May be empty.
        activation: a named function, such as ``nn.relu`` or ``nn.tanh``.
        kernel_init: how weights start (and biases, where it is ``Uniform``).
        normalisation: of what each layer gives to its activation.
        noisy: the scale of the noise of :class:`NoisyDense`; None for plain layers.
    """

    features: tuple[int, ...] = (64, 64)
    activation: Activation = nn.relu
    kernel_init: Initialiser = LECUN
    normalisation: Normalisation = "none"
    noisy: float | None = None

    @nn.compact
    def __call__(self, observation: Array) -> Array:
        x = as_float(observation).reshape(-1)
        for width in self.features:
            x = dense(x, width, self.kernel_init, noisy=self.noisy)
            x = self.activation(normalise(self, x, self.normalisation))
        return x


class NatureCNN(nn.Module):
    """The network of Mnih et al. (2015), Methods, for images of at least 36 by 36.

    Args:
        kernel_init: how weights start (and biases, where it is ``Uniform``).
        normalisation: of what each layer gives to its ReLU.
        noisy: the scale of the noise of the dense layer, see :class:`NoisyDense`; None for a plain one.
        features: the width of the dense layer; None for the convolutions alone, as under dueling streams,
            which have a layer of that width each (Wang et al. 2016, section 4.2; Hessel et al. 2018).
        padding: the convolutions', ``"VALID"`` as in the paper, or ``"SAME"`` as in Dopamine.
    """

    kernel_init: Initialiser = LECUN
    normalisation: Normalisation = "none"
    noisy: float | None = None
    features: int | None = 512
    padding: Literal["VALID", "SAME"] = "VALID"

    @nn.compact
    def __call__(self, observation: Array) -> Array:
        x = _as_image(observation)
        if min(x.shape[:2]) < 36:
            raise InvalidInput(f"NatureCNN needs images of at least 36x36, not {x.shape[0]}x{x.shape[1]}.")
        for channels, size, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
            x = _conv(x, channels, size, stride, self.kernel_init, self.padding)
            x = nn.relu(normalise(self, x, self.normalisation))
        if self.features is None:
            return x.reshape(-1)
        x = dense(x.reshape(-1), self.features, self.kernel_init, noisy=self.noisy)
        return nn.relu(normalise(self, x, self.normalisation))


class PoolingCNN(nn.Module):
    """3x3 convolutions, each with ReLU and 2x2 max-pooling, then one dense layer.

    Convolutions and pools are padded, so that a small board never vanishes: 10x5 ends as 1x1 and
    96x96 as 6x6.
    """

    channels: tuple[int, ...] = (32, 32, 64, 64)
    features: int = 512
    kernel_init: Initialiser = XAVIER
    normalisation: Normalisation = "none"
    noisy: float | None = None

    @nn.compact
    def __call__(self, observation: Array) -> Array:
        x = _as_image(observation)
        for channels in self.channels:
            x = _conv(x, channels, 3, 1, self.kernel_init, padding="SAME")
            x = nn.relu(normalise(self, x, self.normalisation))
            x = nn.max_pool(x, (2, 2), strides=(2, 2), padding="SAME")
        x = dense(x.reshape(-1), self.features, self.kernel_init, noisy=self.noisy)
        return nn.relu(normalise(self, x, self.normalisation))


class ShiftedConv(nn.Module):
    """A convolution of stride 1 without padding, as one matrix product of shifted slices.

    The parameters and the result are ``nn.Conv``'s. On boards of ten by ten it is four times as fast on
    a CPU as XLA's convolution.
    """

    features: int
    kernel: int
    kernel_init: Initialiser = LECUN

    @nn.compact
    def __call__(self, x: Array) -> Array:
        size, channels = self.kernel, x.shape[-1]
        shape = (size, size, channels, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", _bias_init(self.kernel_init, size * size * channels), (self.features,))
        height, width = x.shape[0] - size + 1, x.shape[1] - size + 1
        slices = [x[i : i + height, j : j + width] for i in range(size) for j in range(size)]
        return jnp.concatenate(slices, axis=-1) @ kernel.reshape(-1, self.features) + bias


class SmallCNN(nn.Module):
    """One 3x3 convolution and one dense layer, for boards: MinAtar's (Young & Tian 2019)."""

    channels: int = 16
    features: int = 128
    kernel_init: Initialiser = LECUN
    normalisation: Normalisation = "none"
    noisy: float | None = None

    @nn.compact
    def __call__(self, observation: Array) -> Array:
        x = _as_image(observation)
        if min(x.shape[:2]) < 3:
            raise InvalidInput(f"SmallCNN needs boards of at least 3x3, not {x.shape[0]}x{x.shape[1]}.")
        x = ShiftedConv(self.channels, 3, self.kernel_init, name="Conv_0")(x)
        x = nn.relu(normalise(self, x, self.normalisation))
        x = dense(x.reshape(-1), self.features, self.kernel_init, noisy=self.noisy)
        return nn.relu(normalise(self, x, self.normalisation))


class OneHot(nn.Module):
    """One of ``n`` observations, numbered from ``start``, as a one-hot vector before another module."""

    n: int
    torso: nn.Module
    start: int = 0

    @nn.compact
    def __call__(self, observation: Array, *more: Any) -> Array:
        return self.torso(jax.nn.one_hot(observation - self.start, self.n), *more)


class Actor(nn.Module):
    """A policy: the distribution of actions in an observation.

    Args:
        torso: what reads the observation.
        head: one of :mod:`purejaxrl.action_distributions`, which makes the distribution of features.
        policy_init: of the head's layer, small so that the first policy hardly depends on the observation.
    """

    torso: nn.Module
    head: PolicyHead
    policy_init: Initialiser = SMALL

    @nn.compact
    def __call__(self, observation: Array) -> Any:
        return self.head(self, self.torso(observation), self.policy_init)


class Value(nn.Module):
    """The value (a scalar) of an observation."""

    torso: nn.Module
    value_init: Initialiser = LECUN

    @nn.compact
    def __call__(self, observation: Array) -> Array:
        return dense(self.torso(observation), 1, self.value_init, "value")[0]


class ActorCritic(nn.Module):
    """A policy, the distribution of actions, and the state's value (a scalar).

    Args:
        torso: the policy's, and the critic's too unless that has its own.
        head: one of :mod:`purejaxrl.action_distributions`, which makes the distribution of features.
        critic_torso: None to share ``torso``; given, it has parameters of its own, equal to ``torso`` or not.
        policy_init: of the policy head, small so that the first policy hardly depends on the observation.
        value_init: of the value head.
    """

    torso: nn.Module
    head: PolicyHead
    critic_torso: nn.Module | None = None
    policy_init: Initialiser = SMALL
    value_init: Initialiser = LECUN

    def __post_init__(self) -> None:
        if self.critic_torso is self.torso:  # flax would share one object's parameters
            self.critic_torso = self.torso.copy()
        super().__post_init__()

    @nn.compact
    def __call__(self, observation: Array) -> tuple[Any, Array]:
        features = self.torso(observation)
        policy = self.head(self, features, self.policy_init)
        if self.critic_torso is not None:
            features = self.critic_torso(observation)
        return policy, dense(features, 1, self.value_init, "value")[0]


class Recurrent(nn.Module):
    """A network that remembers what it has seen: ``carry, observation -> carry, output``.

    A cell stands between the torso and another network (Hausknecht & Stone 2015).

    Args:
        torso: from an observation to features.
        network: of the cell's output, such as a QNetwork or an ActorCritic.
        size: of the cell.
        cell: which.
    """

    torso: nn.Module
    network: nn.Module
    size: int = 64
    cell: CellName = "lstm"

    def setup(self) -> None:
        # Not orthogonal, flax's default: its QR decomposition can hang on a CPU with two cores.
        kind = {"lstm": nn.OptimizedLSTMCell, "gru": nn.GRUCell}[self.cell]
        self.memory = kind(self.size, recurrent_kernel_init=LECUN)

    def __call__(self, carry: PyTree, observation: Array) -> tuple[PyTree, Any]:
        carry, features = self.memory(carry, self.torso(observation))
        return carry, self.network(features)

    def initial_carry(self) -> PyTree:
        """What the cell knows before it has seen anything: zeros."""
        zeros = jnp.zeros(self.size)
        return (zeros, zeros) if self.cell == "lstm" else zeros


class RecurrentActorCritic(nn.Module):
    """A policy and a value that remember apart: ``carry, observation -> carry, (policy, value)``.

    Args:
        actor: a Recurrent network that gives a distribution of actions.
        critic: a Recurrent network that gives a scalar.
    """

    actor: Recurrent
    critic: Recurrent

    def __call__(self, carry: PyTree, observation: Array) -> tuple[PyTree, tuple[Any, Array]]:
        actor, policy = self.actor(carry[0], observation)
        critic, value = self.critic(carry[1], observation)
        return (actor, critic), (policy, value)

    def initial_carry(self) -> PyTree:
        """What both know before they have seen anything."""
        return self.actor.initial_carry(), self.critic.initial_carry()


class DeterministicActor(nn.Module):
    """An action ``[action_size]`` in [-1, 1] (Lillicrap et al. 2016, section 7).

    The output layer starts within ±0.3, wide enough for first actions that differ; the paper has ±0.003.
    """

    torso: nn.Module
    action_size: int
    output_init: Initialiser = Uniform(0.3)

    @nn.compact
    def __call__(self, observation: Array) -> Array:
        return jnp.tanh(dense(self.torso(observation), self.action_size, self.output_init, "action"))


class Critic(nn.Module):
    """The value (a scalar) of an action ``[action_size]`` taken in an observation.

    The torso sees the flattened observation with the action appended.
    """

    torso: nn.Module
    output_init: Initialiser = Uniform(0.003)

    @nn.compact
    def __call__(self, observation: Array, action: Array) -> Array:
        x = jnp.concatenate([as_float(observation).reshape(-1), as_float(action).reshape(-1)])
        return dense(self.torso(x), 1, self.output_init, "value")[0]


def default_torso(
    observation_space: gymnasium.Space,
    hidden_sizes: tuple[int, ...] = (64, 64),
    activation: Activation = nn.relu,
    kernel_init: Initialiser = LECUN,
    normalisation: Normalisation = "none",
    noisy: float | None = None,
) -> nn.Module:
    """The torso that suits an observation space, chosen from its shape.

    Vectors and boards ``[H, W]`` are flattened into an MLP, discrete observations one-hot encoded
    first; images ``[H, W, C]`` go to NatureCNN where both sides are at least 36, else to SmallCNN
    (or the MLP, where a side is too short for a 3x3 filter).

    Args:
        observation_space: a gymnasium Box, MultiBinary or Discrete space.
        hidden_sizes: of the MLP; convolutional torsos have the sizes of their papers.
        activation: of the MLP, a named function.
        kernel_init: how weights start.
        normalisation: of what layers give to their activations.
        noisy: the scale of the noise of dense layers; None for none.

    Raises:
        InvalidInput: if there is no torso for the space.
    """
    mlp = MLP(tuple(hidden_sizes), activation, kernel_init, normalisation, noisy)
    if isinstance(observation_space, gymnasium.spaces.Discrete):
        return OneHot(int(observation_space.n), mlp, int(observation_space.start))
    if not isinstance(observation_space, gymnasium.spaces.Box | gymnasium.spaces.MultiBinary):
        raise InvalidInput(
            f"No network for observations of {type(observation_space).__name__} space: "
            "give one, or use a Box, MultiBinary or Discrete observation space."
        )
    shape = observation_space.shape
    if len(shape) > 3:
        raise InvalidInput(f"No network for observations of shape {shape}: at most [H, W, C] is supported.")
    if len(shape) == 3 and shape[0] <= 4 and min(shape[1:]) >= 36:
        raise InvalidInput(f"Images are channel-last [H, W, C]; shape {shape} looks channel-first.")
    if len(shape) < 3 or min(shape[:2]) < 3:
        return mlp
    if min(shape[:2]) >= 36:
        return NatureCNN(kernel_init, normalisation, noisy)
    return SmallCNN(kernel_init=kernel_init, normalisation=normalisation, noisy=noisy)


def make_torso(
    name: TorsoName,
    observation_space: gymnasium.Space[Any],
    hidden_sizes: tuple[int, ...],
    activation: ActivationName = "relu",
    initialiser: InitialiserName = "lecun",
    normalisation: Normalisation = "none",
    noisy: float | None = None,
) -> nn.Module:
    """The torso that a Config names; ``auto`` is :func:`default_torso`.

    Raises:
        InvalidInput: the torso's name is not known, or it cannot read such observations.
    """
    if not isinstance(name, str) or name not in get_args(TorsoName):
        raise InvalidInput(f"torso must be one of {', '.join(get_args(TorsoName))}, not {name!r}")
    kernel_init = INITIALISERS[initialiser]
    layers: Any = {"kernel_init": kernel_init, "normalisation": normalisation, "noisy": noisy}
    numbered = isinstance(observation_space, gymnasium.spaces.Discrete)
    if name == "auto" or (name == "mlp" and numbered):  # which of them it is says nothing of its size
        return default_torso(observation_space, hidden_sizes, ACTIVATIONS[activation], **layers)
    torsos: dict[str, nn.Module] = {
        "mlp": MLP(tuple(hidden_sizes), ACTIVATIONS[activation], **layers),
        "small_cnn": SmallCNN(**layers),
        "pooling_cnn": PoolingCNN(**layers),
        "nature_cnn": NatureCNN(**layers),
        "nature_convolutions": NatureCNN(**layers, features=None),
    }
    if name != "mlp" and len(observation_space.shape or ()) not in (2, 3):
        raise InvalidInput(f"{name} reads images or boards, not observations of {observation_space}")
    return torsos[name]


def apply(network: nn.Module, params: PyTree, *inputs: PyTree) -> Any:
    """What a network makes of a batch: its inputs and outputs have a leading axis ``[B]``."""
    return jax.vmap(network.apply, in_axes=(None, *[0] * len(inputs)))(params, *inputs)


def example(space: gymnasium.Space[Any]) -> Array:
    """A zero of a space's shape and type, to initialise a network or a memory with.

    Raises:
        InvalidInput: the space's elements are not arrays of numbers, or have none.
    """
    arrays = gymnasium.spaces.Box | gymnasium.spaces.Discrete | gymnasium.spaces.MultiBinary
    if not isinstance(space, arrays):
        raise InvalidInput(f"observations must be of a Box, Discrete or MultiBinary space, not {space}")
    if 0 in (space.shape or ()):
        raise InvalidInput(f"observations must have a number or more, which those of {space} have not")
    return jnp.zeros(space.shape or (), jax.dtypes.canonicalize_dtype(space.dtype))
