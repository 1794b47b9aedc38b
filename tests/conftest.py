"""What every test runs under: typed keys that are used once, and eight XLA devices on the CPU."""

from collections.abc import Iterator

import jax
import pytest

# Before anything starts a backend: sharding over devices is tested on any machine.
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_debug_key_reuse", True)


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Scripts keep what they compile for each other, and leave the user's own cache alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
