"""What every test runs under: typed keys that are used once, and eight XLA devices on the CPU."""

import os
from collections.abc import Iterator
from typing import Any

import jax
import pytest
from jax._src import compiler

# Before anything starts a backend: sharding over devices is tested on any machine.
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_debug_key_reuse", True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of runs take longest, and go first: so two processes that share out files end together."""
    items.sort(key=lambda item: item.path.parent.name != "training")


EMITTERS = "xla_cpu_use_fusion_emitters"
compile_options: Any = getattr(compiler, "get_compile_options", None)


def without_emitters(*args: Any, **options: Any) -> Any:
    """jax's options for XLA, with the one flag set."""
    made = compile_options(*args, **options)
    made.env_option_overrides = [*made.env_option_overrides, (EMITTERS, False)]
    return made


@pytest.fixture(scope="session", autouse=True)
def flags_read() -> None:
    """XLA reads XLA_FLAGS once, where it starts: before a module sets what its processes are to read."""
    jax.devices()


@pytest.fixture(scope="module", autouse=True)
def programs(request: pytest.FixtureRequest, flags_read: None) -> Iterator[None]:
    """XLA spends little on making programs fast, but in modules that are marked.

    Most run for an instant, and compiling them is what the suite's time goes into. They go with their
    module: all of them together take five gigabytes.
    """
    marked = {marker.name for marker in request.node.iter_markers()}
    before = jax.config.values["jax_disable_most_optimizations"]
    with pytest.MonkeyPatch.context() as patch:  # its environment is for the processes that a test starts
        if not marked & {"as_released", "same_bits"}:
            # XLA's older way to write out fused loops is compiled in two thirds of the time. There is a flag
            # for it, but only of a whole process; where jax has its options elsewhere, all takes longer.
            patch.setattr(compiler, "get_compile_options", without_emitters, raising=False)
            patch.setenv("XLA_FLAGS", f"{os.environ.get('XLA_FLAGS', '')} --{EMITTERS}=false")
        if not marked & {"as_released", "optimised"}:
            jax.config.update("jax_disable_most_optimizations", True)
            patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        yield
    jax.config.update("jax_disable_most_optimizations", before)
    jax.clear_caches()


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Scripts keep what they compile for each other, and leave the user's own cache alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
