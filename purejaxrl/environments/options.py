"""The wrappers as options of every environment, applied in one order."""

from __future__ import annotations

from typing import Any

from purejaxrl.environments.action_repeat import repeat_actions
from purejaxrl.environments.frame_stack import FrameStack
from purejaxrl.environments.frames import Background, Crop, Difference, Downsample
from purejaxrl.environments.knob_checks import check_choice, check_count, check_number, check_rank
from purejaxrl.environments.normalisation import NormaliseObservation, NormaliseReward
from purejaxrl.environments.wrappers import (
    AllowedActions,
    ClipReward,
    EndAtLimit,
    EndAtReward,
    Flicker,
    StickyActions,
)
from purejaxrl.types import InvalidInput

OPTIONS: dict[str, str | None] = {  # and for those that only tune another one, which that is
    "action_repeat": None,
    "allowed_actions": None,
    "sticky_actions": None,
    "clip_reward": None,
    "normalise_reward": None,
    "reward_discount": "normalise_reward",
    "reward_limit": "normalise_reward",
    "crop": None,
    "downsample": None,
    "background": None,
    "normalise_observation": None,
    "observation_limit": "normalise_observation",
    "flicker": None,
    "difference": None,
    "frame_stack": None,
    "stack_actions": "frame_stack",
    "end_at_reward": None,
    "end_at_limit": None,
}
SWITCHES = (
    "normalise_reward",
    "normalise_observation",
    "difference",
    "stack_actions",
    "end_at_reward",
    "end_at_limit",
)
SIMULATOR = "simulator_"  # in front of an option of a simulator's maker that has one of these names


def separate(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits options into those of :func:`wrap` and those that the environment itself is to take."""
    wrapping = {name: value for name, value in options.items() if name in OPTIONS}
    return wrapping, {name: value for name, value in options.items() if name not in OPTIONS}


def to_simulator(options: dict[str, Any]) -> dict[str, Any]:
    """Options for the maker of a simulator, ``simulator_frame_stack`` under its own name and the like."""
    renamed = {SIMULATOR + name: name for name in OPTIONS}
    return {renamed.get(name, name): value for name, value in options.items()}


def wrap(environment: Any, **options: Any) -> Any:
    """Wraps a batch of environments, in the order in which the options are listed here.

    Args:
        environment: any batch.
        action_repeat: how often an action is carried out, see :func:`.action_repeat.repeat_actions`.
        allowed_actions: those to choose from, of a Discrete space, as a tuple; 0 then is the first of them.
        sticky_actions: the probability with which a step carries out the last one's action instead:
            with ``action_repeat``, all its repeats. EnvPool's Atari has ``repeat_action_probability``
            for its frames, and MinAtar ``sticky_action_probability``; the actions of either then
            stick a second time.
        clip_reward: True (to [-1, 1]), ``"range"`` (the same) or ``"sign"``.
        normalise_reward: whether rewards are divided by the deviation of discounted returns.
        reward_discount: that discount; 0.99 unless told.
        reward_limit: to what normalised rewards are clipped; 10 unless told.
        crop: what is kept of an image: its rows from ``top`` to ``bottom`` and columns from ``left`` to
            ``right``, as a tuple of these four; the latter of each is the first that is left out.
        downsample: 2 keeps every second row and column of an image, and so on.
        background: a number, or a tuple of them, that is shown as 0; any other is shown as 1.
        normalise_observation: whether observations have a mean of 0 and a variance of 1.
        observation_limit: to what normalised observations are clipped; 10 unless told.
        flicker: the probability with which an observation is blank.
        difference: whether an observation is shown less the one before, and an episode's first as zeros.
        frame_stack: how many of the last observations are shown.
        stack_actions: whether the actions between them are, too.
        end_at_reward: whether each reward that is not 0 ends an episode for the learner; the game goes on.
        end_at_limit: whether a time limit is an end of the task, past which nothing is bootstrapped. Older
            libraries had it so, and what they published is reproduced with it; elsewhere it is an error.
        options: these, by name.

    Whatever is None, or False, is left out; so is a repeat, a stack or a downsampling by 1.

    Raises:
        InvalidInput: an option that is not listed here, has no such value, or does not suit the
            environment.
    """
    for name, value in options.items():
        if name not in OPTIONS:
            raise InvalidInput(f"{name!r} is no wrapper; they are {', '.join(OPTIONS)}")
        if value is not None and value is not False:
            _check(name, value)
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    for name in given:
        tuned = OPTIONS[name]
        if tuned is not None and tuned not in given:
            raise InvalidInput(f"{name} is of no use without {tuned}")
    if "stack_actions" in given and given["frame_stack"] == 1:
        raise InvalidInput(
            "stack_actions is of no use with a frame_stack of 1: no action lies between frames"
        )
    if given.get("action_repeat", 1) != 1:
        environment = repeat_actions(environment, given["action_repeat"])
    if "allowed_actions" in given:
        environment = AllowedActions(environment, given["allowed_actions"])
    if "sticky_actions" in given:
        environment = StickyActions(environment, given["sticky_actions"])
    if "clip_reward" in given:
        how = given["clip_reward"]
        environment = ClipReward(environment, "range" if how is True else how)
    if "normalise_reward" in given:
        discount, limit = given.get("reward_discount", 0.99), given.get("reward_limit", 10.0)
        environment = NormaliseReward(environment, discount, limit)
    if "crop" in given:
        environment = Crop(environment, given["crop"])
    if given.get("downsample", 1) != 1:
        environment = Downsample(environment, given["downsample"])
    if "background" in given:
        numbers = given["background"]
        environment = Background(environment, numbers if isinstance(numbers, tuple) else (numbers,))
    if "normalise_observation" in given:
        environment = NormaliseObservation(environment, given.get("observation_limit", 10.0))
    if "flicker" in given:
        environment = Flicker(environment, given["flicker"])
    if "difference" in given:
        environment = Difference(environment)
    if given.get("frame_stack", 1) != 1:
        environment = FrameStack(environment, given["frame_stack"], given.get("stack_actions", False))
    if "end_at_reward" in given:
        environment = EndAtReward(environment)
    if "end_at_limit" in given:
        environment = EndAtLimit(environment)
    return environment


def _check(name: str, value: Any) -> None:
    """Raises InvalidInput, under the option's name, where one that is given has no such value.

    The wrappers check the same under the names of their fields, which whoever gives options does not know.
    """
    if name in SWITCHES:
        check_choice(name, value, (True, False))
    elif name in ("sticky_actions", "flicker", "reward_discount"):
        check_number(name, value, 0, 1)
        check_rank(name, value)
    elif name in ("reward_limit", "observation_limit"):
        check_number(name, value, above=0, finite=False)
        check_rank(name, value)
    elif name in ("action_repeat", "downsample", "frame_stack"):
        check_count(name, value, 1)
    elif (
        name == "clip_reward"
        and value is not True
        and not (isinstance(value, str) and value in ("range", "sign"))
    ):
        raise InvalidInput(f"clip_reward must be True, 'range' or 'sign', not {value!r}")
