"""What the tests of runs share: programs that are compiled once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache as jax_cache

CACHING = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of compiled programs, for the processes that a test starts as well."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module")
def compiled_once(compiled: Path) -> Iterator[Path]:
    """A program that is compiled again, for a run that goes on, say, is looked up instead."""
    before = {name: getattr(jax.config, name) for name in ("jax_compilation_cache_dir", *CACHING)}
    for name, value in {"jax_compilation_cache_dir": str(compiled), **CACHING}.items():
        jax.config.update(name, value)
    jax_cache.reset_cache()
    yield compiled
    for name, value in before.items():
        jax.config.update(name, value)
    jax_cache.reset_cache()
