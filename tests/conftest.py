"""What every test runs under: typed keys that are used once, and eight XLA devices on the CPU."""

from collections.abc import Iterator

import jax
import pytest

# Before anything starts a backend: sharding over devices is tested on any machine.
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_debug_key_reuse", True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of runs take longest, and go first: so two processes that share out files end together."""
    items.sort(key=lambda item: item.path.parent.name != "training")


@pytest.fixture(scope="module", autouse=True)
def programs(request: pytest.FixtureRequest) -> Iterator[None]:
    """XLA spends little on making programs fast, but in modules marked ``optimised``.

    Most run for an instant, and compiling them is what the suite's time goes into. They go with their
    module: all of them together take five gigabytes.
    """
    haste = request.node.get_closest_marker("optimised") is None
    before = jax.config.values["jax_disable_most_optimizations"]
    with pytest.MonkeyPatch.context() as patch:
        if haste:
            jax.config.update("jax_disable_most_optimizations", True)
            patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # for the processes that a test starts
        yield
    jax.config.update("jax_disable_most_optimizations", before)
    jax.clear_caches()


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Scripts keep what they compile for each other, and leave the user's own cache alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
