"""Where the kernels' machine code is kept."""

import shutil
import subprocess
import sys

import numba
import pytest
from numba.core import types

from qep_tn.kernels import compilation, compile_kernels, first_call
from qep_tn.kernels.compilation import FOLDER, SOURCES, VERSIONS, compiled, digest, open_folder


@pytest.fixture
def sources(tmp_path):
    copied = tmp_path / "sources"
    copied.mkdir()
    for path in SOURCES.glob("*.py"):
        shutil.copy(path, copied)
    return copied


@pytest.mark.parametrize("name", sorted(path.name for path in SOURCES.glob("*.py")))
def test_a_change_in_any_kernel_file_changes_the_digest(sources, name):
    before = digest(sources, VERSIONS)
    assert before == digest(SOURCES, VERSIONS)
    with (sources / name).open("a") as file:
        file.write("\n")
    assert digest(sources, VERSIONS) != before


@pytest.mark.parametrize("n", range(len(VERSIONS)))
def test_another_version_changes_the_digest(n):
    other = (*VERSIONS[:n], VERSIONS[n] + ".1", *VERSIONS[n + 1 :])
    assert digest(SOURCES, other) != digest(SOURCES, VERSIONS)


def test_moving_code_to_another_file_changes_the_digest(sources):
    before = digest(sources, VERSIONS)
    (sources / "pairs.py").rename(sources / "pears.py")
    assert digest(sources, VERSIONS) != before


def test_a_new_folder_replaces_the_older_one_of_this_environment_only(tmp_path, monkeypatch):
    others = tmp_path / "kernels-another-environment"
    others.mkdir()
    old = open_folder([tmp_path], "old")
    (old / "code.nbc").touch()
    assert open_folder([tmp_path], "old") == old
    assert (old / "code.nbc").exists()
    new = open_folder([tmp_path], "new")
    assert new.is_dir()
    assert others.is_dir()
    assert not old.exists()
    monkeypatch.setattr(sys, "prefix", "/another")
    open_folder([tmp_path], "old")
    assert new.is_dir()


def test_where_sources_cannot_be_written_the_next_root_is_taken(tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    assert open_folder([blocked / "root", tmp_path / "other"], "name").parent == tmp_path / "other"
    assert open_folder([blocked], "name") is None


def test_a_kernel_outlives_the_loss_of_its_folder(tmp_path, monkeypatch):
    """As when another process, of newer sources, removes it."""
    monkeypatch.setattr(compilation, "FOLDER", open_folder([tmp_path], "old"))

    @compiled
    def double(x):
        return 2 * x

    assert double(1) == 2
    open_folder([tmp_path], "new")
    assert double(1.5) == 3.0
    assert double.stats.cache_misses


def test_all_kernels_are_kept_in_the_folder_of_the_digest():
    assert FOLDER is not None
    assert FOLDER.name.endswith(digest(SOURCES, VERSIONS))
    for stage in first_call.stages(types.float64):
        for kernel, *_ in stage:
            assert str(FOLDER) in kernel.stats.cache_path


def test_caches_of_others_are_not_moved():
    @numba.njit(cache=True)
    def own(x):
        return x

    assert not numba.config.CACHE_DIR or "qep_tn" not in str(numba.config.CACHE_DIR)
    assert str(FOLDER) not in own.stats.cache_path
    quimb = pytest.importorskip("quimb.core")
    others = [value for value in vars(quimb).values() if hasattr(value, "py_func") and hasattr(value, "stats")]
    assert all(str(FOLDER) not in str(other.stats.cache_path) for other in others)


def test_what_was_compiled_once_is_not_compiled_again(tmp_path, monkeypatch):
    """Nor are processes started, by whoever comes second."""
    monkeypatch.setattr(first_call, "FOLDER", tmp_path)
    calls = []
    monkeypatch.setattr(first_call, "_compile_in_processes", lambda entries: calls.append(entries) or True)
    for _ in range(2):
        compile_kernels.__wrapped__("float64")
    compile_kernels.__wrapped__("complex128")
    assert calls == ["float64", "complex128"]


def test_a_process_that_ends_early_stops_nothing(monkeypatch, capsys):
    monkeypatch.setattr(first_call, "_CHILD", "raise SystemExit")
    assert not first_call._compile_in_processes("float64")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert not first_call._compile_in_processes("float64")
    assert "compiling kernels" in capsys.readouterr().err


def test_an_interrupt_ends_the_processes(monkeypatch):
    monkeypatch.setattr(first_call, "_CHILD", "import time; time.sleep(600)")
    started = []

    class Noted(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)
            if len(started) == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Noted)
    with pytest.raises(KeyboardInterrupt):
        first_call._compile_in_processes("float64")
    assert started[0].poll() is not None
    started[1].kill()
    started[1].wait()
