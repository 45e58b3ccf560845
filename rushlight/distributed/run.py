"""The launcher (torchrun, torch.distributed.run): a script in several processes of
this machine, or in those of several machines.

``rushlight run -m torch.distributed.run --nproc_per_node 2 script.py …`` starts the script twice, with RANK,
LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set, as `init_process_group` reads them. When one process fails the
others are ended, and all are started again up to ``--max_restarts`` times.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

DEFAULT_PORT = 29500
GRACE = 10.0  # seconds between asking a process to end and making it


class ChildFailedError(Exception):
    """A process of the group failed: ``failures`` has its local rank and exit code."""

    def __init__(self, name: str, failures: dict[int, int]):
        self.name, self.failures = name, failures
        first, code = next(iter(failures.items()))
        how = f"exitcode: {code}" if code >= 0 else f"exitcode: {code} (signal {signal.Signals(-code).name})"
        super().__init__(f"{name} FAILED: local_rank {first} ended with {how}; its own output above says why")


class _Both(argparse.ArgumentParser):
    """Options with dashes and with underscores."""

    def add_argument(self, *names: Any, **options: Any) -> Any:
        more = [n.replace("_", "-") for n in names if n.startswith("--") and "_" in n]
        return super().add_argument(*names, *[n for n in more if n not in names], **options)


# (name, environment variable of the default, default, what it is, more of add_argument)
_VALUES: tuple[tuple[str, str | None, str | None, str, dict[str, Any]], ...] = (
    ("--nnodes", "PET_NNODES", "1:1", "number of machines (min:max only with min = max)", {}),
    ("--nproc_per_node", "PET_NPROC_PER_NODE", "1", "processes on each: a number, or auto or cpu (one per core)", {}),
    ("--node_rank", "PET_NODE_RANK", "0", "which machine this is", {"type": int}),
    ("--master_addr", "PET_MASTER_ADDR", "127.0.0.1", "the address of machine 0", {}),
    ("--master_port", "PET_MASTER_PORT", "0", "its port (a free one on a single machine, else 29500)", {"type": int}),
    ("--rdzv_backend", "PET_RDZV_BACKEND", "static", "static and c10d are the same here", {}),
    ("--rdzv_endpoint", "PET_RDZV_ENDPOINT", "", "host:port instead of --master_addr and --master_port", {}),
    ("--rdzv_id", "PET_RDZV_ID", "none", "a name of this job", {}),
    ("--rdzv_conf", "PET_RDZV_CONF", "", "accepted", {}),
    (
        "--max_restarts",
        "PET_MAX_RESTARTS",
        "0",
        "how often all processes are started again after a failure",
        {"type": int},
    ),
    ("--monitor_interval", "PET_MONITOR_INTERVAL", "0.1", "seconds between looks at the processes", {"type": float}),
    ("--start_method", None, "spawn", "accepted", {"choices": ["spawn", "fork", "forkserver"]}),
    ("--role", "PET_ROLE", "default", "a name of the processes", {}),
    ("--log_dir", "PET_LOG_DIR", None, "a folder for the output of the processes", {}),
    ("--redirects", "PET_REDIRECTS", "0", "0: to this terminal; 1, 2, 3: stdout, stderr, both into --log_dir", {}),
    ("--tee", "PET_TEE", "0", "only 0: use --redirects", {}),
    ("--local_addr", "PET_LOCAL_ADDR", None, "accepted", {}),
)
_SHORT = {"--redirects": "-r", "--tee": "-t", "--module": "-m"}
_FLAGS = {
    "--standalone": "a single machine: any free port",
    "--module": "the script is the name of a module",
    "--no_python": "the script is a program of its own",
    "--run_path": "accepted: scripts always run so",
}


def get_args_parser() -> argparse.ArgumentParser:
    """The options, PyTorch's names."""
    p = _Both(
        prog="torch.distributed.run",
        description="Start a script in several processes that find each other through torch.distributed.",
    )

    def names(name: str) -> list[str]:
        return [_SHORT[name], name] if name in _SHORT else [name]

    for name, variable, default, what, more in _VALUES:
        value = default if variable is None else os.environ.get(variable, default)
        p.add_argument(*names(name), default=value, help=what, **more)
    for name, what in _FLAGS.items():
        p.add_argument(*names(name), action="store_true", help=what)
    p.add_argument("training_script", help="the script")
    p.add_argument("training_script_args", nargs=argparse.REMAINDER, help="its arguments")
    return p


def parse_args(args: list[str] | None) -> argparse.Namespace:
    """The options from a command line."""
    return get_args_parser().parse_args(args)


def _nodes(text: str) -> int:
    low, _, high = str(text).partition(":")
    if high and high != low:
        raise ValueError(f"--nnodes={text}: the number of machines must be fixed here; give one number")
    return int(low)


def _processes(text: Any) -> int:
    if str(text) in ("auto", "cpu"):
        return len(os.sched_getaffinity(0))
    if str(text) in ("gpu", "xpu"):
        raise ValueError("Cuda is not available.")
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"Unsupported nproc_per_node value: {text}") from None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as s:
        return int(s.getsockname()[1])


def _address(args: argparse.Namespace, nodes: int) -> tuple[str, int]:
    if args.rdzv_endpoint and not args.standalone:
        host, _, port = (
            args.rdzv_endpoint.rpartition(":") if ":" in args.rdzv_endpoint else (args.rdzv_endpoint, "", "")
        )
        port = int(port or 0)
        return host, (_free_port() if port == 0 and nodes == 1 else port or DEFAULT_PORT)
    if nodes == 1 and (args.standalone or not args.master_port):
        return "127.0.0.1", _free_port()
    return args.master_addr, args.master_port or DEFAULT_PORT


def _command(args: argparse.Namespace) -> list[str]:
    if args.no_python:
        if args.module:
            raise ValueError("Don't use both the '--no-python' flag and the '--module' flag at the same time.")
        return [args.training_script, *args.training_script_args]
    return [
        sys.executable,
        "-u",
        "-m",
        "rushlight",
        "run",
        *(["-m"] if args.module else []),
        args.training_script,
        *args.training_script_args,
    ]


class Launch:
    """The processes of one start."""

    def __init__(self, args: argparse.Namespace, attempt: int, run_id: str):
        self.size, nodes = _processes(args.nproc_per_node), _nodes(args.nnodes)
        host, port = _address(args, nodes)
        common = {
            "WORLD_SIZE": self.size * nodes,
            "LOCAL_WORLD_SIZE": self.size,
            "GROUP_RANK": args.node_rank,
            "GROUP_WORLD_SIZE": nodes,
            "ROLE_NAME": args.role,
            "ROLE_WORLD_SIZE": self.size * nodes,
            "MASTER_ADDR": host,
            "MASTER_PORT": port,
            "TORCHELASTIC_RUN_ID": run_id,
            "TORCHELASTIC_RESTART_COUNT": attempt,
            "TORCHELASTIC_MAX_RESTARTS": args.max_restarts,
        }
        if self.size > 1 and "OMP_NUM_THREADS" not in os.environ:
            common["OMP_NUM_THREADS"] = 1
        self.children = []
        for local in range(self.size):
            rank = args.node_rank * self.size + local
            env = {
                **os.environ,
                **{k: str(v) for k, v in {**common, "RANK": rank, "LOCAL_RANK": local, "ROLE_RANK": rank}.items()},
            }
            self.children.append(subprocess.Popen(_command(args), env=env, **_output(args, local, attempt)))

    def wait(self, interval: float) -> dict[int, int]:
        """Until all have ended well (no failures), or one has not: then the others are ended."""
        while True:
            codes = [c.poll() for c in self.children]
            failed = {i: code for i, code in enumerate(codes) if code}
            if failed:
                self.end()
                return failed
            if all(code == 0 for code in codes):
                return {}
            time.sleep(interval)

    def end(self, how: int = signal.SIGTERM) -> None:
        """Ask the processes to end, and after a while make them."""
        for c in self.children:
            if c.poll() is None:
                c.send_signal(how)
        end = time.monotonic() + GRACE
        for c in self.children:
            try:
                c.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                c.kill()
                c.wait()


def _output(args: argparse.Namespace, local: int, attempt: int) -> dict[str, Any]:
    """Where the output of a process goes."""
    if args.tee not in ("0", 0):
        raise ValueError("--tee is not there: use --redirects 3 --log_dir FOLDER")
    if args.redirects in ("0", 0):
        return {}
    if not args.log_dir:
        raise ValueError("--redirects needs --log_dir")
    folder = os.path.join(args.log_dir, f"attempt_{attempt}", str(local))
    os.makedirs(folder, exist_ok=True)
    which = int(args.redirects)
    return {
        name: open(os.path.join(folder, f"{name}.log"), "wb")
        for bit, name in ((1, "stdout"), (2, "stderr"))
        if which & bit
    }


def run(args: argparse.Namespace) -> None:
    """Start the processes and wait for them. ChildFailedError where one fails, after the last restart."""
    run_id = args.rdzv_id if args.rdzv_id != "none" else str(uuid.uuid4())
    for attempt in range(args.max_restarts + 1):
        launch = Launch(args, attempt, run_id)
        undo = _forward_signals(launch)
        try:
            failed = launch.wait(args.monitor_interval)
        except KeyboardInterrupt:
            launch.end(signal.SIGINT)
            raise
        finally:
            undo()
        if not failed:
            return
        if attempt < args.max_restarts:
            print(
                f"torch.distributed.run: local_rank {next(iter(failed))} failed; starting all {launch.size} again "
                f"({attempt + 1} of {args.max_restarts})",
                file=sys.stderr,
            )
    raise ChildFailedError(args.training_script, failed)


def _forward_signals(launch: Launch) -> Callable[[], Any]:
    """SIGTERM ends the processes too."""

    def ended(number: int, frame: Any) -> None:
        launch.end(number)
        sys.exit(128 + number)

    try:
        before = signal.signal(signal.SIGTERM, ended)
    except ValueError:  # not in the main thread
        return lambda: None
    return lambda: signal.signal(signal.SIGTERM, before)


def main(args: list[str] | None = None) -> None:
    """The command; ends with the exit code of the process that failed."""
    try:
        run(parse_args(args))
    except ChildFailedError as e:
        print(f"torch.distributed.run: {e}", file=sys.stderr)
        sys.exit(abs(next(iter(e.failures.values()))) if next(iter(e.failures.values())) > 0 else 1)
    except ValueError as e:
        print(f"torch.distributed.run: {e}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
