"""Where a run was made: versions, devices, and the state of the source it ran."""

from __future__ import annotations

import importlib.metadata
import platform
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax

PACKAGES = (
    "purejaxrl",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "chex",
    "orbax-checkpoint",
    "numpy",
    "gymnasium",
    "envpool",
)
"""Packages whose versions are recorded."""
DECISIVE = ("purejaxrl", "jax", "jaxlib", "flax", "optax")
"""Those of them that have a say in every run's bits."""


def versions() -> dict[str, str]:
    """The versions of :data:`PACKAGES`."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def decisive_versions(environment: str) -> dict[str, str]:
    """The versions on which the bits of a run in an environment depend."""
    bridge = environment.partition(":")[0]
    return {
        package: version
        for package, version in versions().items()
        if package in DECISIVE or package == bridge
    }


def session() -> dict[str, Any]:
    """Who is running now, and with what."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "host": socket.gethostname(),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions(),
        "git": git_state(Path(__file__).parent),
        "git_here": git_state(Path.cwd()),
        "processes": jax.process_count(),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit that is checked out around a folder and whether anything differs from it; None outside."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "clean": not git("status", "--porcelain")}
    except (OSError, subprocess.SubprocessError):
        return None
