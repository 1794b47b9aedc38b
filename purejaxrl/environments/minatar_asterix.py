"""MinAtar's Asterix: gold to collect, and enemies to avoid (Young & Tian 2019)."""

from __future__ import annotations

import gymnasium
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrl.environments import minatar
from purejaxrl.environments.knob_checks import check_switch
from purejaxrl.environments.minatar import DOWN, LEFT, RIGHT, SIZE, UP
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, Key

MINIMAL = (minatar.NO_OP, LEFT, UP, RIGHT, DOWN)
SLOTS = 8  # rows 1 to 8, in each of which there is one thing at a time
GOLD = 1 / 3  # the probability that what comes is gold
SPAWN_EVERY, MOVE_EVERY, RAMP_EVERY = 10, 5, 100  # steps, to begin with
START = 5  # the player's row and column


@struct.dataclass
class AsterixState:
    """Where a game stands. Timers count the steps down to 0."""

    row: Array  # of the player
    column: Array
    column_of: Array  # [8], of the thing in each of rows 1 to 8
    there: Array  # [8], whether there is one
    right: Array  # [8], whether it moves to the right, else to the left
    gold: Array  # [8], whether it is gold, else an enemy
    spawn_timer: Array
    move_timer: Array
    ramp_timer: Array
    spawn_every: Array
    move_every: Array
    ramps: Array  # how often the game has grown harder
    action: Array  # the last one carried out, of minatar.ACTIONS


@struct.dataclass
class Draws:
    """What chance decides in a step: of the thing that comes in it, if one does."""

    from_left: Array
    gold: Array
    slot: Array  # in [0, 1): how far down the list of free rows


@with_knobs("sticky_action_probability", "difficulty_ramping")
class Asterix:
    """Walk into gold for a reward of 1; the game ends where an enemy and the player meet.

    Every 10 steps a thing comes in from the left or the right, in a row between the first and the last
    that has none; with probability 1/3 it is gold. Things move a column every 5 steps, and leave on
    the other side. Whoever plays for long sees both intervals shrink by a step at a time, about
    every 100 steps, things' movement every other time.

    Observation int8 ``[10, 10, 4]`` of zeros and ones: the player, enemies, the cell behind each thing
    (from which one sees where it goes), gold. Action: of the full set 0 no-op, 1 left, 2 up, 3 right,
    4 down, 5 fire; the minimal one has no fire. The player stays out of the first and the last row.

    Args:
        sticky_action_probability: with which a step carries out the last step's action instead of its own.
            A game begins as if after a no-op; in the authors' package, after the last game's last action.
        difficulty_ramping: whether things come and move ever more often; data, as the probability is.
        actions: static, the ``"full"`` set that all games of MinAtar share, or the ``"minimal"`` one.
        max_episode_steps: static; the authors set no limit.

    Raises:
        InvalidInput: an argument that is not what is said above.
    """

    sticky_action_probability: float | Array = 0.1
    difficulty_ramping: bool | Array = True
    actions: minatar.ActionSet = "full"
    max_episode_steps: int | None = None

    def __post_init__(self) -> None:
        minatar.check_options(self)
        check_switch("difficulty_ramping", self.difficulty_ramping)

    @property
    def observation_space(self) -> gymnasium.spaces.MultiBinary:
        return minatar.observation_space(4)

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return minatar.action_space(self.actions, MINIMAL)

    def reset(self, key: Key) -> tuple[AsterixState, Array]:
        del key  # every game begins alike, with nobody else there
        state = self.begin()
        return state, self.observe(state)

    def step(self, key: Key, state: AsterixState, action: Array) -> tuple[AsterixState, Array, Array, Array]:
        number = jax.random.uniform(key, (4,))
        action = minatar.full_action(self.actions, MINIMAL, action)
        action = jnp.where(number[3] < self.sticky_action_probability, state.action, action)
        state, reward, terminated = self.transition(decide(number[:3]), state, action)
        return state, self.observe(state), reward, terminated

    def begin(self) -> AsterixState:
        """The state in which every game begins."""
        nothing = jnp.zeros(SLOTS, bool)
        return AsterixState(
            row=jnp.int32(START),
            column=jnp.int32(START),
            column_of=jnp.zeros(SLOTS, jnp.int32),
            there=nothing,
            right=nothing,
            gold=nothing,
            spawn_timer=jnp.int32(SPAWN_EVERY),
            move_timer=jnp.int32(MOVE_EVERY),
            ramp_timer=jnp.int32(RAMP_EVERY),
            spawn_every=jnp.int32(SPAWN_EVERY),
            move_every=jnp.int32(MOVE_EVERY),
            ramps=jnp.int32(0),
            action=jnp.int32(minatar.NO_OP),
        )

    def transition(
        self, draws: Draws, state: AsterixState, action: Array
    ) -> tuple[AsterixState, Array, Array]:
        """What an action, of :data:`.minatar.ACTIONS`, does: the state, the reward and ``terminated``."""
        action = jnp.asarray(action, jnp.int32)
        spawns = state.spawn_timer == 0
        comes = spawns & chosen(~state.there, draws.slot)
        column_of = jnp.where(comes, jnp.where(draws.from_left, 0, SIZE - 1), state.column_of)
        there = state.there | comes
        right = jnp.where(comes, draws.from_left, state.right)
        gold = jnp.where(comes, draws.gold, state.gold)

        column = jnp.clip(state.column + (action == RIGHT) - (action == LEFT), 0, SIZE - 1)
        row = jnp.clip(state.row + (action == DOWN) - (action == UP), 1, SLOTS)
        same_row = jnp.arange(1, SLOTS + 1) == row
        met = there & same_row & (column_of == column)  # the player walks into it
        there &= ~(met & gold)

        moves = state.move_timer == 0
        column_of = jnp.where(moves & there, column_of + jnp.where(right, 1, -1), column_of)
        there &= (column_of >= 0) & (column_of < SIZE)
        run_over = moves & there & same_row & (column_of == column)  # it walks into the player
        there &= ~(run_over & gold)
        reward = jnp.any((met | run_over) & gold).astype(jnp.float32)
        terminated = jnp.any((met | run_over) & ~gold)

        spawn_timer = jnp.where(spawns, state.spawn_every, state.spawn_timer) - 1
        move_timer = jnp.where(moves, state.move_every, state.move_timer) - 1
        ramping = self.difficulty_ramping & ((state.spawn_every > 1) | (state.move_every > 1))
        ramps = ramping & (state.ramp_timer < 0)
        faster = ramps & (state.ramps % 2 == 1)
        ramp_timer = jnp.where(ramps, RAMP_EVERY, state.ramp_timer - 1)
        state = AsterixState(
            row=row,
            column=column,
            column_of=column_of,
            there=there,
            right=right,
            gold=gold,
            spawn_timer=spawn_timer,
            move_timer=move_timer,
            ramp_timer=jnp.where(ramping, ramp_timer, state.ramp_timer),
            spawn_every=jnp.maximum(state.spawn_every - ramps, 1),
            move_every=jnp.maximum(state.move_every - faster, 1),
            ramps=state.ramps + ramps,
            action=action,
        )
        return state, reward, terminated

    def observe(self, state: AsterixState) -> Array:
        place = jnp.arange(SIZE)
        behind = state.column_of + jnp.where(state.right, -1, 1)
        edge = [(1, SIZE - 1 - SLOTS), (0, 0)]

        def draw(where: Array, column: Array) -> Array:
            return jnp.pad(where[:, None] & (column[:, None] == place), edge)

        return minatar.picture(
            minatar.cell(state.row, state.column),
            draw(state.there & ~state.gold, state.column_of),
            draw(state.there, behind),
            draw(state.there & state.gold, state.column_of),
        )


def decide(number: Array) -> Draws:
    """What three numbers from [0, 1) decide."""
    return Draws(from_left=number[0] < 0.5, gold=number[1] < GOLD, slot=number[2])


def chosen(free: Array, draw: Array) -> Array:
    """One of the true entries of ``free`` ``[N]``, equally likely for a ``draw`` in [0, 1); none of none."""
    number = jnp.sum(free)
    wanted = jnp.minimum(jnp.floor(draw * number).astype(jnp.int32), number - 1)
    return free & (jnp.cumsum(free) - 1 == wanted)
