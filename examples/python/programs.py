# SPDX-License-Identifier: MIT
"""Run a program in a sandbox as subprocess would. It sees the one directory that it is given, read-only."""

import subprocess
import sys
import tempfile
from pathlib import Path

import lfi

SOURCE = r"""
#include <stdio.h>
#include <string.h>
#include <errno.h>
static void show(const char *path)
{
	char line[100];
	FILE *f = fopen(path, "r");

	printf("%s: %s", path, f ? fgets(line, sizeof line, f) : strcat(strcpy(line, strerror(errno)), "\n"));
}
int main(void)
{
	char line[100];

	show("/data/greeting");
	show("/etc/passwd");
	while (fgets(line, sizeof line, stdin))
		printf("read: %s", line);
	return 3;
}
"""

with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "show.c").write_text(SOURCE)
    (Path(folder) / "data").mkdir()
    (Path(folder) / "data" / "greeting").write_text("hello from the host\n")
    program = Path(folder, "show.lfi")
    subprocess.run([sys.executable, "-m", "lfi", "cc", Path(folder, "show.c"), "-O2", "-o", program], check=True)

    done = lfi.run(
        [program], input="one\ntwo\n", capture_output=True, text=True, timeout=5, memory_limit=64 << 20,
        dirs={"/data": f"{folder}/data:ro"},
    )  # fmt: skip
    print(done.stdout, end="")
    print("return code", done.returncode)
