# SPDX-License-Identifier: MIT
"""Decode PNG files that nobody trusts, with libpng in sandboxes: each file in a fresh one.

    python png.py LIBPNG.tar.gz ZLIB.tar.bz2

The archives are the source of libpng 1.6 and zlib. The decoder is built twice: as it should be, and with a bug by which a file
decides where the decoder jumps. In a library of the process that would be the end; here it is an exception, and the next file is
decoded.
"""

import struct
import subprocess
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path

import lfi

HERE = Path(__file__).parent
HEADER = """
int decode(const uint8_t *data, size_t size, uint8_t *pixels, size_t room, int *width, int *height, char *message);
"""
PNG = "png pngerror pngget pngmem pngpread pngread pngrio pngrtran pngrutil pngset pngtrans pngwio pngwrite pngwtran pngwutil"
ZLIB = "adler32 compress crc32 deflate infback inffast inflate inftrees trees uncompr zutil"


def unpack(archive: str, folder: Path) -> Path:
    """The one folder in an archive."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder)
        return folder / tar.getnames()[0].split("/")[0]


def build(folder: Path, png: Path, z: Path) -> tuple[Path, Path]:
    """The decoder, and the exploitable one."""
    (png / "pnglibconf.h").write_text((png / "scripts" / "pnglibconf.h.prebuilt").read_text())
    cc = [sys.executable, "-m", "lfi", "cc", "-O2", "-w", "-DPNG_INTEL_SSE_OPT=0", "-I", str(png), "-I", str(z)]
    objects = []
    for source in [png / f"{name}.c" for name in PNG.split()] + [z / f"{name}.c" for name in ZLIB.split()]:
        objects.append(str(folder / f"{source.stem}.o"))
        subprocess.run([*cc, "-c", str(source), "-o", objects[-1]], check=True)
    made = []
    for name, flags in (("decode", []), ("exploitable", ["-DEXPLOITABLE"])):
        made.append(folder / f"{name}.lfi")
        subprocess.run([*cc, *flags, str(HERE / "decode.c"), *objects, "-lm", "-o", str(made[-1])], check=True)
    return made[0], made[1]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def image(width: int, height: int, comment: bytes = b"") -> bytes:
    """A PNG with a gradient."""
    rows = b"".join(b"\0" + b"".join(bytes((x, y, 128)) for x in range(width)) for y in range(height))
    text = chunk(b"tEXt", comment) if comment else b""
    return header(width, height) + text + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def decode(lib: lfi.Library, data: bytes) -> str:
    width, height, message = lfi.Out(), lfi.Out(), lfi.Out(64)
    pixels = lib.alloc("uint8_t", 1 << 20)
    if lib.decode(data, len(data), pixels, 1 << 20, width, height, message, timeout=1.0) != 0:
        return "refused: " + message.bytes.split(b"\0")[0].decode("ascii", "replace")
    # What a sandbox says is hostile: the size is checked before it is used.
    w, h = width.value, height.value
    if not (0 < w and 0 < h and w * h * 4 <= 1 << 20):
        return f"refused: {w} x {h} pixels"
    last = pixels.read(4, (w * h - 1) * 4)
    return f"{w} x {h}, the last pixel is {tuple(last)}"


def main() -> None:
    good = image(16, 8, b"Comment\0harmless")
    files = {
        "good": good,
        "cut off": good[:70],
        "damaged": good[:-30] + b"\xff" + good[-29:],
        "too large": header(60000, 60000) + good[33:],
        # 32 bytes fill the buffer; the next eight are where to jump.
        "attack": image(16, 8, b"A" * 32 + struct.pack("<Q", 0x4141414141414140)),
        "good again": good,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        png, z = unpack(sys.argv[1], folder / "png"), unpack(sys.argv[2], folder / "zlib")
        for title, program in zip(("as it should be", "exploitable"), build(folder, png, z)):
            print(f"{title}:")
            with lfi.Pool(program, HEADER, workers=2) as pool:
                for file, data in files.items():
                    try:
                        print(f"  {file}:", pool.submit(decode, data).result())
                    except lfi.Fault as fault:
                        print(f"  {file}: contained: {fault.kind} at {fault.address & 0xFFFFFFFF:#x}")


if __name__ == "__main__":
    main()
