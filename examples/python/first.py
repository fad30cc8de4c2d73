# SPDX-License-Identifier: MIT
"""Compile a C function, load it into a sandbox, call it. What goes wrong in there is an exception here."""

import subprocess
import sys
import tempfile
from pathlib import Path

import lfi

SOURCE = """
int add(int a, int b) { return a + b; }
void crash(int *p) { *p = 1; }
void spin(void) { for (;;) __asm__ volatile(""); }
"""

with tempfile.TemporaryDirectory() as folder:
    source, library = Path(folder, "add.c"), Path(folder, "add.lfi")
    source.write_text(SOURCE)
    subprocess.run([sys.executable, "-m", "lfi", "cc", source, "-O2", "-o", library], check=True)

    with lfi.load(library, header="int add(int a, int b); void crash(int *p); void spin(void);") as lib:
        print("add(2, 3) =", lib.add(2, 3))
        try:
            lib.crash(None)
        except lfi.Fault as fault:
            print(f"a {fault.kind} in {fault.function}, and Python goes on")
        try:
            lib.spin(timeout=0.1)
        except lfi.Timeout:
            print("a loop, ended after 0.1 s")
        print("add(40, 2) =", lib.add(40, 2))
