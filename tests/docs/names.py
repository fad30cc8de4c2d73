#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""names.py FILE...: every path that a document names in backquotes exists, and every path:name has that name in it.

"section", the quoted headings after `rules.inc`, must be comments there.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOP = "lib|tests|fuzz|docs|tools|include|bench|examples|toolchain"


def wrong_names(text):
    for path, name in re.findall(r"`((?:%s)/[\w./-]+)(?::(\w+))?`" % TOP, text):
        file = ROOT / path
        if not file.exists():
            yield "%s does not exist" % path
        elif name and not re.search(r"\b%s\b" % name, file.read_text()):
            yield "%s has no %s" % (path, name)
    rows = (ROOT / "tests/c/verify/rules.inc").read_text()
    for heading in re.findall(r"\"(\d[\d.]*: [^\"]+)\"", text):
        if heading not in rows:
            yield "rules.inc has no heading '%s'" % heading


def main():
    bad = 0
    for document in sys.argv[1:]:
        for what in wrong_names(Path(document).read_text()):
            print("%s: %s" % (document, what))
            bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main())
