# SPDX-License-Identifier: MIT
"""Python's faulthandler and a sandbox in one process: faulthandler.py LIBRARY, the library of sandbox.c.

Each scenario is a process of its own. Faults of the sandbox are results, with nothing said by faulthandler; faults of
the host are faulthandler's, and kill as they do without the library.
"""
import ctypes
import faulthandler
import signal
import subprocess
import sys
import threading

FAULTS = 6


def load(path):
    library = ctypes.CDLL(path)
    library.sandbox_error.restype = ctypes.c_char_p
    return library


def check(library, result):
    if result != 0:
        raise SystemExit("failed: " + library.sandbox_error().decode())


def fault_inside(library, times=100):
    for _ in range(times):
        for kind in range(FAULTS):
            check(library, library.sandbox_fault(kind))
    if library.sandbox_add(40, 2) != 42:
        raise SystemExit("40 + 2 is not 42")


def fault_in_threads(library):
    failed = []

    def body():
        try:
            fault_inside(library)
        except SystemExit as e:
            failed.append(e)

    threads = [threading.Thread(target=body) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def crash_host():
    ctypes.string_at(0)


def without(library_path):
    """No library at all: what the others are compared with."""


def plain(library_path):
    library = load(library_path)
    check(library, library.sandbox_open())
    fault_inside(library)


def before_loading(library_path):
    faulthandler.enable()
    plain(library_path)


def before_opening(library_path):
    library = load(library_path)
    faulthandler.enable()
    check(library, library.sandbox_open())
    fault_inside(library)
    fault_in_threads(library)


def after_opening(library_path):
    library = load(library_path)
    check(library, library.sandbox_open())
    faulthandler.enable()
    check(library, library.sandbox_reclaim())
    fault_inside(library)
    fault_in_threads(library)


def disabled_again(library_path):
    faulthandler.enable()
    library = load(library_path)
    check(library, library.sandbox_open())
    # Puts back what it found, which is not what is there now.
    faulthandler.disable()
    check(library, library.sandbox_reclaim())
    fault_inside(library)


def closed_again(library_path):
    faulthandler.enable()
    library = load(library_path)
    check(library, library.sandbox_open())
    fault_inside(library)
    library.sandbox_close()


def enabled_without(library_path):
    faulthandler.enable()


# Scenario, and the one that a fault of the host must look like.
SCENARIOS = [
    (plain, without),
    (disabled_again, without),
    (before_loading, enabled_without),
    (before_opening, enabled_without),
    (after_opening, enabled_without),
    (closed_again, enabled_without),
]


def run(scenario, library_path, how):
    return subprocess.run(
        [sys.executable, __file__, library_path, scenario.__name__, how],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)


def child(library_path, name, how):
    # No core files.
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    globals()[name](library_path)
    print("done", flush=True)
    if how == "crash":
        crash_host()


def essence(stderr):
    """What was said, without what differs from process to process and from Python to Python: the number of a thread, the
    stack of C functions."""
    return [line for line in stderr.splitlines() if line.startswith(("Fatal", "  File"))]


def main(library_path):
    bad = []
    for scenario, like in SCENARIOS:
        quiet = run(scenario, library_path, "quiet")
        if (quiet.returncode, quiet.stdout, quiet.stderr) != (0, "done\n", ""):
            bad.append(f"{scenario.__name__}: {quiet}")
            continue
        crash = run(scenario, library_path, "crash")
        wanted = run(like, library_path, "crash")
        said = essence(wanted.stderr)
        if (crash.returncode, crash.stdout, essence(crash.stderr)) != (-signal.SIGSEGV, "done\n", said):
            bad.append(f"{scenario.__name__}: {crash}\nwithout the library: {wanted}")
        elif ("Fatal Python error: Segmentation fault" in said) != (like is enabled_without):
            bad.append(f"{like.__name__}: {wanted}")
        else:
            print(f"{scenario.__name__}: ok")
    return "\n".join(bad) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else child(*sys.argv[1:]))
