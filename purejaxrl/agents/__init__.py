"""Agents: each a module of pure functions over an immutable state.

Every module has ``Config``, ``State``, ``init``, ``memory``, ``act``, ``greedy`` and ``update``. Where
an algorithm's update itself draws random numbers, its State carries a key.
"""
