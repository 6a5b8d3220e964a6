"""Features of trained networks, and influence beyond convex models (PyTorch).

Importing this package imports torch; importing skinfluence does not.
"""

try:
    import torch  # noqa: F401  (the other modules of this package need it)
except ImportError as error:
    raise ImportError(
        "skinfluence.torch needs PyTorch, which is not installed: pip install skinfluence[torch]"
    ) from error

__all__: list[str] = []
