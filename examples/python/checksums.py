# SPDX-License-Identifier: MIT
"""A sandboxed function over a Dask cluster: the path past one machine.

What is sent to the workers is the module: program and declarations, by content. Each worker process loads it once, into a pool of
its own; each item is then done in a fresh sandbox there, so that a hostile one can harm neither the worker nor the next item.
"""

import functools
import subprocess
import sys
import tempfile
from pathlib import Path

import lfi

SOURCE = """
#include <stddef.h>
#include <stdint.h>
/* FNV-1a; an item that begins with an exclamation mark finds a bug. */
uint64_t digest(const uint8_t *data, size_t size)
{
	uint64_t hash = 0xcbf29ce484222325;

	if (size && data[0] == '!')
		*(volatile int *) 8 = 1;
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ data[i]) * 0x100000001b3;
	return hash;
}
"""
HEADER = "uint64_t digest(const uint8_t *data, size_t size);"


@functools.lru_cache(maxsize=4)
def pool_of(module: lfi.Module) -> lfi.Pool:
    """The worker's own; modules are compared by content."""
    return lfi.Pool(module, workers=1)


def work(module: lfi.Module, item: bytes) -> str:
    try:
        return f"{pool_of(module).submit('digest', item, len(item)).result():016x}"
    except lfi.Fault as fault:
        return f"fault in {fault.function}"


def main() -> None:
    from distributed import Client, LocalCluster

    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "digest.c"), Path(folder, "digest.lfi")
        source.write_text(SOURCE)
        subprocess.run([sys.executable, "-m", "lfi", "cc", source, "-O2", "-o", library], check=True)
        module = lfi.Module(library, HEADER)

    items = [b"", b"a", b"!bad", b"foobar"]
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        for item, result in zip(items, client.gather(client.map(work, [module] * len(items), items, pure=False))):
            print(item, result)


if __name__ == "__main__":
    main()
