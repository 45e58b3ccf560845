"""How the other processes of a strategy start."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rushlight.lightning.utilities.exceptions import MisconfigurationException

GRACE = 5.0  # seconds in which this process may notice by itself that another one has failed


def is_interactive() -> bool:
    """Whether there is no program that could be run again: a prompt, a notebook."""
    main = sys.modules.get("__main__")
    return hasattr(sys, "ps1") or bool(sys.flags.interactive) or getattr(main, "__file__", None) is None


def set_address(strategy: Any) -> None:
    """Where the processes meet: MASTER_ADDR and MASTER_PORT, by default a free port of this machine."""
    from rushlight.distributed.run import _free_port
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    if strategy.environment.world_size == strategy.environment.local_world_size:
        os.environ.setdefault("MASTER_PORT", str(_free_port()))
    elif "MASTER_PORT" not in os.environ:
        raise MisconfigurationException("num_nodes > 1, but MASTER_PORT does not say where the first machine can be reached")


def _command() -> list[str]:
    """This program once more, with its arguments."""
    main: Any = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    program = ["-m", spec.name.removesuffix(".__main__")] if spec is not None else [os.path.abspath(sys.argv[0])]
    under = ["-m", "rushlight", "run"] if getattr(sys.modules.get("torch"), "__name__", "") == "rushlight" else []  # rushlight.as_torch()
    return [sys.executable, *subprocess._args_from_interpreter_flags(), *under, *program, *sys.argv[1:]]  # type: ignore[attr-defined]


class ScriptLauncher:
    """Runs the program again for each other process; they come to the same Trainer, and this process goes on as the first of this machine."""

    runs_elsewhere = False

    def __init__(self, strategy: Any):
        self.strategy = strategy
        self.children: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the others, once."""
        environment = self.strategy.environment
        if environment.started:
            return
        if is_interactive():
            raise MisconfigurationException("`Trainer(strategy='ddp')` is not compatible with an interactive environment. Run your code as a"
                                            " script, or choose strategy='ddp_notebook'")
        set_address(self.strategy)
        common = {"NODE_RANK": environment.node_rank, "WORLD_SIZE": environment.world_size}
        os.environ.update({k: str(v) for k, v in {**common, "LOCAL_RANK": 0}.items()})
        command = _command()
        for local in range(1, environment.local_world_size):
            self.children.append(subprocess.Popen(command, env={**os.environ, "LOCAL_RANK": str(local)}))
        self.strategy.environment = replace(environment, started=True)
        atexit.register(self._wait)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """Where another process has failed and this one waits for it, end as well: the program would hang."""
        while not any(child.poll() for child in self.children):
            if all(child.poll() == 0 for child in self.children):
                return
            time.sleep(0.1)
        failed = next(i for i, child in enumerate(self.children) if child.poll())
        time.sleep(GRACE)
        if self.children:
            code = self.children[failed].returncode
            print(f"The process of local rank {failed + 1} ended with exit code {code}; its own output says why. Ending the others.",
                  file=sys.stderr, flush=True)
            self.kill()
            os._exit(1)

    def _wait(self) -> None:
        for child in self.children:
            child.wait()
        self.children = []

    def kill(self) -> None:
        """End the others."""
        children, self.children = self.children, []
        for child in children:
            if child.poll() is None:
                child.terminate()
        for child in children:
            try:
                child.wait(GRACE)
            except subprocess.TimeoutExpired:
                child.kill()


class ForkLauncher:
    """Copies of this process run a method of the Trainer; what the first of them has learned comes back here."""

    runs_elsewhere = True

    def __init__(self, strategy: Any):
        self.strategy = strategy
        if not hasattr(os, "fork"):
            raise MisconfigurationException("This system cannot fork: choose strategy='ddp'")

    def launch(self, function: Callable[[], Any], give: Callable[[Any], Any], take: Callable[[Any], Any]) -> Any:
        """``take(give(function()))``, function and give in the copies (of which the first one counts), take here.

        ProcessRaisedException where one of them fails, with its traceback.
        """
        from tempfile import TemporaryDirectory

        from rushlight.multiprocessing import start_processes
        from rushlight.serialization.loading import load
        from rushlight.serialization.saving import save
        strategy = self.strategy
        if strategy.environment.world_size != strategy.environment.local_world_size:
            raise MisconfigurationException("num_nodes > 1 needs processes that are started on each machine: choose strategy='ddp'")
        before = os.environ.get("MASTER_PORT")
        set_address(strategy)
        try:
            with TemporaryDirectory() as folder:
                path = os.path.join(folder, "learned")

                def work(local: int) -> None:
                    os.environ.update(LOCAL_RANK=str(local), WORLD_SIZE=str(strategy.world_size), NODE_RANK="0")
                    strategy.place(replace(strategy.environment, global_rank=local, local_rank=local, started=True))
                    learned = give(function())
                    if local == 0:
                        save(learned, path)
                start_processes(work, (), strategy.environment.local_world_size, start_method="fork")
                return take(load(path, weights_only=False))
        finally:
            if before is None:
                os.environ.pop("MASTER_PORT", None)
