# SPDX-License-Identifier: MIT
"""Running programs, as subprocess does."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import lfi


def test_a_program_says_hello(program: Path) -> None:
    done = lfi.run([program], capture_output=True)
    assert done.returncode == 0 and done.stdout == b"hello, world\n" and done.stderr == b"error\n"
    assert done.args == [str(program)] and done.usage.mapped_peak > 0 and done.usage.runtime_calls > 0


def test_arguments_and_environment_are_those_that_are_given(program: Path) -> None:
    done = lfi.run([program, "arguments", "one", "", "drei ä"], capture_output=True, text=True)
    assert done.stdout == "one\n\ndrei ä\n".replace("one", "arguments\none")
    assert lfi.run([program], capture_output=True, env={"WHO": "you"}, text=True).stdout == "hello, you\n"


def test_the_hosts_environment_is_not_seen(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHO", "secret")
    assert lfi.run([program], capture_output=True).stdout == b"hello, world\n"


def test_status_is_returned_or_raised(program: Path) -> None:
    assert lfi.run([program, "exit", "7"]).returncode == 7
    with pytest.raises(subprocess.CalledProcessError) as caught:
        lfi.run([program, "exit", "7"], check=True, capture_output=True)
    assert caught.value.returncode == 7
    assert lfi.run([program, "raise", "15"]).returncode == 128 + 15


@pytest.mark.parametrize("size", [0, 1, 65536, 3_000_000])
def test_input_goes_to_output(program: Path, size: int) -> None:
    data = os.urandom(size)
    assert lfi.run([program, "copy"], input=data, capture_output=True).stdout == data


def test_streams_are_files_descriptors_and_callbacks(program: Path, tmp_path: Path) -> None:
    out = io.BytesIO()
    lfi.run([program, "copy"], stdin=io.BytesIO(b"z" * 200_000), stdout=out)
    assert out.getvalue() == b"z" * 200_000
    parts: list[bytes] = []
    lfi.run([program], stdout=parts.append, stderr=lfi.STDOUT)
    assert b"".join(parts) == b"hello, world\nerror\n"
    blocks = [b"two", b"one", b""]
    lfi.run([program, "copy"], stdin=lambda size: blocks.pop(0) if blocks else b"", stdout=out)
    assert out.getvalue().endswith(b"twoone")
    with open(tmp_path / "out", "wb") as file:
        lfi.run([program], stdout=file, stderr=lfi.DEVNULL)
        lfi.run([program], stdout=file.fileno(), stderr=lfi.DEVNULL)
    assert (tmp_path / "out").read_bytes() == b"hello, world\n" * 2
    assert lfi.run([program, "copy"], stdin=lfi.DEVNULL, stdout=lfi.PIPE).stdout == b""
    text = io.StringIO()
    lfi.run([program], stdout=text, stderr=lfi.DEVNULL)
    assert text.getvalue() == "hello, world\n"


def test_what_a_callback_raises_comes_out(program: Path) -> None:
    def fail(data: object) -> bytes:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        lfi.run([program, "flood"], stdout=fail)
    with pytest.raises(KeyError, match="mine"):
        lfi.run([program, "copy"], stdin=fail, stdout=lfi.DEVNULL)


def test_files_are_those_that_are_given(program: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content\n")
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert lfi.run([program, "read", "/data/file"], capture_output=True).stdout == b"No such file or directory\n"
    dirs = {"/data": f"{tmp_path}:ro"}
    assert lfi.run([program, "read", "/data/file"], dirs=dirs, capture_output=True).stdout == b"content\n"
    assert lfi.run([program, "read", "file"], dirs=dirs, wd="/data", capture_output=True).stdout == b"content\n"
    assert lfi.run([program, "read", "/data/link"], dirs=dirs, capture_output=True).stdout == b"No such file or directory\n"
    assert lfi.run([program, "write", "/data/new", "x"], dirs=dirs, capture_output=True).stdout == b"Read-only file system\n"
    assert lfi.run([program, "write", "/data/new", "x"], dirs={"/data": tmp_path}).returncode == 0
    assert (tmp_path / "new").read_text() == "x"
    with pytest.raises(NotADirectoryError, match="nowhere"):
        lfi.run([program], dirs={"/data": tmp_path / "nowhere"})
    with pytest.raises(ValueError, match="absolute"):
        lfi.run([program], dirs={"data": tmp_path})


def test_timeouts_end_programs(program: Path) -> None:
    with pytest.raises(lfi.Timeout) as caught:
        lfi.run([program, "spin"], timeout=0.05)
    assert isinstance(caught.value, TimeoutError)
    with pytest.raises(lfi.Timeout):
        read, write = os.pipe()
        try:
            lfi.run([program, "copy"], stdin=read, timeout=0.05)
        finally:
            os.close(read)
            os.close(write)


def test_limits_hold(program: Path) -> None:
    assert int(lfi.run([program, "take", "64"], memory_limit=16 << 20, capture_output=True).stdout) < 16
    with pytest.raises(lfi.LimitExceeded, match="CPU"):
        lfi.run([program, "spin"], cpu_limit=0.05)
    with pytest.raises(lfi.LimitExceeded, match="output_limit=100000"):
        lfi.run([program, "flood"], capture_output=True, output_limit=100_000)


def test_faults_are_exceptions_with_what_was_written(program: Path) -> None:
    with pytest.raises(lfi.Fault) as caught:
        lfi.run([program, "crash"], capture_output=True)
    assert caught.value.signal == 11 and caught.value.function == "main"
    assert caught.value.stdout == b"before\n"  # type: ignore[attr-defined]


def test_popen_streams(program: Path) -> None:
    with lfi.Popen([program, "copy"], stdin=lfi.PIPE, stdout=lfi.PIPE) as process:
        assert process.poll() is None
        assert process.stdin and process.stdout
        process.stdin.write(b"line\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"line\n"
        process.stdin.close()
        assert process.wait() == 0 and process.poll() == 0 and process.returncode == 0
    with lfi.Popen([program, "copy"], stdin=lfi.PIPE, stdout=lfi.PIPE) as process:
        data = os.urandom(1 << 20)
        assert process.communicate(data) == (data, None)


def test_popen_is_killed(program: Path) -> None:
    for _ in range(20):
        process = lfi.Popen([program, "spin"])
        process.kill()  # before it begins, or after
        with pytest.raises(lfi.Interrupted):
            process.wait()
        process.kill()
    process = lfi.Popen([program, "spin"])
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.02)
    process.terminate()
    with pytest.raises(lfi.Interrupted):
        process.wait()


def test_run_async(program: Path) -> None:
    async def main() -> None:
        done = await asyncio.gather(*(lfi.run_async([program], capture_output=True) for _ in range(8)))
        assert [one.stdout for one in done] == [b"hello, world\n"] * 8
        task = asyncio.create_task(lfi.run_async([program, "spin"]))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(lfi.Timeout):
            await lfi.run_async([program, "spin"], timeout=0.05)

    asyncio.run(main())


def test_many_threads_run_programs(program: Path) -> None:
    outputs: list[bytes] = []

    def work(i: int) -> None:
        for _ in range(5):
            outputs.append(lfi.run([program, "copy"], input=b"%d" % i, capture_output=True).stdout)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outputs) == sorted(b"%d" % (i % 8) for i in range(40))


def test_bytes_are_a_program(program: Path) -> None:
    image = program.read_bytes()
    with lfi.Popen(["name", "exit", "3"], program=image) as process:
        assert process.wait() == 3


@pytest.mark.parametrize(
    "args, options, error",
    [
        ("prog.lfi", {}, TypeError),
        ([], {}, ValueError),
        (["/nonexistent.lfi"], {}, FileNotFoundError),
        ([sys.executable], {}, lfi.Error),
        (["{}", "a\0b"], {}, ValueError),
        (["{}"], {"timeout": 0}, ValueError),
        (["{}"], {"timeout": -1}, ValueError),
        (["{}"], {"stdin": 3.5}, TypeError),
        (["{}"], {"stdout": -7}, ValueError),
        (["{}"], {"input": b"", "stdin": 0}, ValueError),
        (["{}"], {"capture_output": True, "stdout": 1}, ValueError),
        (["{}"], {"policy": "none"}, ValueError),
        (["{}"], {"memory_limit": -1}, ValueError),
        (["{}"], {"unknown": 1}, TypeError),
        (["{}"], {"stdin": 9999}, lfi.Error),
    ],
)
def test_bad_arguments_are_errors(program: Path, args: object, options: dict[str, object], error: type[Exception]) -> None:
    if isinstance(args, list):
        args = [one.replace("{}", str(program)) for one in args]
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(error):
        lfi.run(args, **options)  # type: ignore[arg-type]
    assert len(os.listdir("/proc/self/fd")) <= before + 2
