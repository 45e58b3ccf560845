"""`rushlight run` behaves as `python` does, with PyTorch's names resolved to rushlight."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import zipfile

import pytest

import rushlight

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(rushlight.__file__)))
RUN = [sys.executable, "-m", "rushlight", "run"]


def call(command, cwd, stdin="", **variables):
    """The finished process, in an environment in which its child processes find this rushlight too."""
    env = {**os.environ, "PYTHONPATH": ROOT, "PYTHONIOENCODING": "utf8", **variables}
    env.pop("RUSHLIGHT_FULL_TRACEBACK", None) if "RUSHLIGHT_FULL_TRACEBACK" not in variables else None
    return subprocess.run(command, cwd=cwd, env=env, input=stdin, capture_output=True, text=True, timeout=60)


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))


FACTS = """
    import sys, os
    m = sys.modules["__main__"]
    print(__name__, m.__dict__ is globals(), sys.argv, os.path.basename(sys.path[0] or "empty"), globals().get("__file__"))
    print(__package__, None if __spec__ is None else (__spec__.name, __spec__.origin), sorted({*globals()} - {'__annotations__'}), type(__loader__).__name__ if __file__ else "")
    number: int = 1
    print(__annotations__, type(__builtins__))
"""


@pytest.mark.parametrize("arguments", [
    ["facts.py", "-m", "x", "--help"], ["folder/link.py"], ["folder"],
    ["app.zip", "y"], ["-m", "facts", "--flag"], ["-mfacts"], ["-m", "package", "z"],
    ["-m", "package.inner"],
])
def test_the_program_sees_what_python_shows_it(tmp_path, arguments):
    write(tmp_path, facts=FACTS)
    for folder in ("folder", "package"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, __main__=FACTS, __init__="", inner=FACTS)
    (tmp_path / "folder" / "link.py").symlink_to(tmp_path / "facts.py")
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("__main__.py", textwrap.dedent(FACTS))
    ours, theirs = call([*RUN, *arguments], tmp_path), call([sys.executable, *arguments], tmp_path)
    assert theirs.returncode == 0, theirs.stderr
    assert ours.stdout == theirs.stdout
    assert (ours.returncode, ours.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [
    ["-c", "import sys; print(sys.argv, repr(sys.path[0]), __name__)", "a", "-c"], ["-", "b"], ["-cprint(7)"]])
def test_code_and_standard_input(tmp_path, arguments):
    program = "import sys; print(sys.argv, repr(sys.path[0]), sys.stdin.read())"
    ours, theirs = (call([*head, *arguments], tmp_path, stdin=program) for head in (RUN, [sys.executable]))
    assert ours.stdout == theirs.stdout and theirs.returncode == ours.returncode == 0


@pytest.mark.parametrize(("program", "code"), [
    ("import sys; sys.exit(7)", 7), ("raise SystemExit", 0),
    ("raise SystemExit('bye')", 1), ("1 / 0", 1), ("raise KeyboardInterrupt", None),
    ("import os; os._exit(3)", 3), ("import atexit, sys; atexit.register(print, 'last'); sys.exit(2)", 2),
    ("def f(:", 1), ("import nothing_here", 1),
    ("import sys; sys.excepthook = lambda *a: print('mine', a[0].__name__)\n1 / 0", 1),
    ("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('x') from e", 1),
    ("raise ExceptionGroup('g', [ValueError(1), TypeError(2)])", 1),
    ("import threading\nt = threading.Thread(target=lambda: 1 / 0, name='T'); t.start(); t.join()", 0),
])
def test_ends_and_reports_as_python_does(tmp_path, program, code):
    (tmp_path / "p.py").write_text(program)
    ours, theirs = call([*RUN, "p.py"], tmp_path), call([sys.executable, "p.py"], tmp_path)
    assert (ours.returncode, ours.stdout, ours.stderr) == (theirs.returncode, theirs.stdout, theirs.stderr)
    assert code is None or ours.returncode == code


@pytest.mark.parametrize(("arguments", "code", "text"), [
    (["none.py"], 2, "can't open file"), (["-m", "none_here"], 1, "No module named none_here"),
    (["-m", "folder"], 1, "No module named folder.__main__; 'folder' is a package and cannot be directly executed"),
    ([], 2, "usage: rushlight run"),
])
def test_nothing_to_run(tmp_path, arguments, code, text):
    (tmp_path / "folder").mkdir()
    write(tmp_path / "folder", __init__="")
    got = call([*RUN, *arguments], tmp_path)
    assert got.returncode == code and text in got.stderr and "Traceback" not in got.stderr


def test_modules_are_the_very_same(tmp_path):
    program = """
        import sys
        import torch, torch.nn.functional as F, torchvision.transforms, torchvision
        from torch.utils.data import DataLoader
        import rushlight, rushlight.vision.transforms, rushlight.utils.data
        for theirs, ours in (("torch", "rushlight"), ("torch.nn", "rushlight.nn"), ("torch.nn.functional", "rushlight.nn.functional"),
                             ("torch.utils.data", "rushlight.utils.data"), ("torchvision.transforms", "rushlight.vision.transforms")):
            module = sys.modules[theirs]
            assert module is sys.modules[ours], theirs
            assert module.__name__ == module.__spec__.name == ours and module.__spec__.loader is module.__loader__
        assert torch is rushlight and F is rushlight.nn.functional and torch.nn.Linear is rushlight.nn.Linear
        assert torch.__version__.startswith("2.")
        print("done")
    """
    write(tmp_path, p=program)
    got = call([*RUN, "p.py"], tmp_path)
    assert got.stdout == "done\n", got.stderr


@pytest.mark.parametrize(("program", "text"), [
    ("import torch.none", "No module named 'torch.none': rushlight does not provide it"),
    ("from torch import none", "rushlight does not provide torch.none."),
    ("import torch; torch.nn.None_", "rushlight does not provide torch.nn.None_."),
    ("import torchvision.none.x", "No module named 'torchvision.none': rushlight does not provide it"),
    ("from torchvision import none", "rushlight does not provide torchvision.none."),
])
def test_a_missing_name_is_named(tmp_path, program, text):
    got = call([*RUN, "-c", program], tmp_path)
    assert got.returncode == 1 and text in got.stderr
    assert call([*RUN, "-c", f"try:\n    {program}\nexcept (ImportError, AttributeError): print('caught')"],
                tmp_path).stdout == "caught\n"


def test_as_torch_from_python(tmp_path):
    got = call([sys.executable, "-c", "import rushlight; t = rushlight.as_torch(); import torch.nn; print(t is torch is rushlight.as_torch())"], tmp_path)
    assert got.stdout == "True\n", got.stderr
    (tmp_path / "torch.py").write_text("")
    got = call([sys.executable, "-c", "import torch, rushlight; rushlight.as_torch()"], tmp_path)
    assert "RuntimeError: torch was imported before rushlight.as_torch(); call as_torch() first" in got.stderr


USER_ERROR = """
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(3, 4)

        def forward(self, x):
            return self.inner(x)

    Model()(torch.zeros(2, 5))
"""


def test_frames_inside_rushlight_are_hidden(tmp_path):
    write(tmp_path, p=USER_ERROR)
    short = call([*RUN, "p.py"], tmp_path)
    assert short.returncode == 1
    assert short.stderr.count("  File ") == short.stderr.count(f'  File "{tmp_path}/p.py"') == 2
    assert "mat1 and mat2 shapes cannot be multiplied (2x5 and 3x4)" in short.stderr
    assert "frames inside rushlight are hidden; set RUSHLIGHT_FULL_TRACEBACK=1 to see all)" in short.stderr
    full = call([*RUN, "p.py"], tmp_path, RUSHLIGHT_FULL_TRACEBACK="1")
    assert os.path.join("rushlight", "nn") in full.stderr and "hidden" not in full.stderr
    assert full.stderr.splitlines()[-1] in short.stderr


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_child_processes_have_the_names_too(tmp_path, method):
    if method not in __import__("multiprocessing").get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    program = f"""
        import multiprocessing, torch

        def work(queue):
            queue.put(torch.__name__)

        if __name__ == "__main__":
            context = multiprocessing.get_context("{method}")
            queue = context.SimpleQueue()
            child = context.Process(target=work, args=(queue,))
            child.start()
            print(queue.get())
            child.join()
    """
    write(tmp_path, p=program)
    got = call([*RUN, "p.py"], tmp_path)
    assert (got.stdout, got.returncode) == ("rushlight\n", 0), got.stderr
