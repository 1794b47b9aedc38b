"""What every test runs under: typed keys that are used once, and eight XLA devices on the CPU."""

import jax

# Before anything starts a backend: sharding over devices is tested on any machine.
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_debug_key_reuse", True)
