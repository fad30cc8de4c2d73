# SPDX-License-Identifier: MIT
"""lfi-bind: an existing library moves into a sandbox behind its own header."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    from version import VERSION  # beside this file once it is packed
except ImportError:
    VERSION = "unpacked"

STARTS = ("lazy", "eager", "explicit")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="lfi-bind",
        description="Write stubs that call a library in a sandbox, with the library's own names and prototypes.",
        epilog="A program links NAME_sandbox.c and liblfi instead of the library. docs/lfi-bind.md has the annotations.",
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="the library: objects and archives that lfi-cc compiled, or one finished .lfi")
    parser.add_argument("--header", action="append", default=[], required=True, metavar="FILE", help="a header of the library, as a program includes it")
    parser.add_argument("--annotations", default="", metavar="FILE", help="what the header cannot say (TOML)")
    parser.add_argument("--name", default="", help="of what is written (default: that of the annotations, or of the first header)")
    parser.add_argument("-o", "--output", default=".", metavar="FOLDER", help="where NAME_sandbox.c, NAME_sandbox.h and NAME.lfi go (default: here)")
    parser.add_argument("--report", action="store_true", help="write what was guessed and left out to stdout; make nothing")
    parser.add_argument("--start", choices=STARTS, help="at the first call (default), before main, or when the program says so")
    parser.add_argument("--lfi-cc", default="", metavar="FILE", help="default: the one beside lfi-bind, or on the PATH")
    parser.add_argument("-I", action="append", default=[], dest="include", metavar="FOLDER", help="where headers are")
    parser.add_argument("-D", action="append", default=[], dest="define", metavar="NAME[=VALUE]", help="a macro for the headers")
    parser.add_argument("--version", action="version", version=f"lfi-bind {VERSION}")
    return parser.parse_args()


OPTIONS = arguments()
try:
    import header as headers
except ImportError:
    sys.exit("lfi-bind: needs libclang for Python: apt-get install python3-clang")
import emit
import image
import report
from model import BindError, Library
from notes import Notes
from roles import Binder


def make(options: argparse.Namespace) -> None:
    notes = Notes(options.annotations)
    name = options.name or notes.library.get("name") or Path(options.header[0]).stem
    if not name.isidentifier():
        raise BindError(f"'{name}' is no name for C: say --name")
    if options.start:
        notes.sandbox["start"] = options.start
    if notes.sandbox.get("start", "lazy") not in STARTS:
        raise BindError(f"{notes.path}: [sandbox] start is one of {', '.join(STARTS)}")
    flags = [f"-I{one}" for one in options.include] + [f"-D{one}" for one in options.define]
    library = Library(name, options.header)
    binder = Binder(headers.Header(options.header, flags), notes, library)
    binder.bind(image.symbols(options.files) if options.files else None)
    if options.report:
        sys.stdout.write(report.report(library))
    if binder.problems:
        raise BindError(binder.problems)
    if options.report:
        return
    if not options.files:
        raise BindError("no library: name its objects or archive")
    write(options, library, notes, flags)


def write(options: argparse.Namespace, library: Library, notes: Notes, flags: list[str]) -> None:
    folder = Path(options.output)
    program = folder / f"{library.name}.lfi"
    if len(options.files) == 1 and options.files[0].endswith(".lfi"):
        image.take(library, Path(options.files[0]), program)
    else:
        lfi_cc = image.find_lfi_cc(options.lfi_cc, Path(sys.argv[0]).resolve().parent)
        image.link(library, lfi_cc, options.header, flags, options.files, program)
    emit.prepare(library)
    emitter = emit.Emitter(library, notes.sandbox)
    (folder / f"{library.name}_sandbox.c").write_text(emitter.source(runtime(), options.header))
    (folder / f"{library.name}_sandbox.h").write_text(emitter.header())
    (folder / f"{library.name}_handles.h").write_text(emitter.handles(options.header))
    count, reads = report.guesses(library)
    if count:
        print(f"lfi-bind: {library.name}: {count} guesses, {reads} of them about how far to read: see --report", file=sys.stderr)


def runtime() -> str:
    """runtime.c, which lies beside this file, also when that is in an archive."""
    import pkgutil

    data = pkgutil.get_data("emit", "runtime.c")
    assert data is not None
    return data.decode()


def main() -> int:
    try:
        make(OPTIONS)
    except BindError as error:
        print("\n".join(f"lfi-bind: {line}" for line in str(error).splitlines()), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
