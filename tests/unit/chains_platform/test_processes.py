"""What a replica's environment holds; real processes are in `tests/e2e/test_engine_processes.py`."""

import os

from chains_platform.processes import ProcessId, identify, is_alive, minimal_environment


def test_the_authors_secrets_stay_out() -> None:
    theirs = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "LANG": "C",
        "LC_ALL": "C",
        "CUDA_VISIBLE_DEVICES": "0",
        "NVIDIA_VISIBLE_DEVICES": "all",
        "LD_LIBRARY_PATH": "/cuda",
        "AWS_SECRET_ACCESS_KEY": "no",
        "HF_TOKEN": "no",
        "OPENAI_API_KEY": "no",
        "PYTHONPATH": "/mine",
    }
    kept = minimal_environment(theirs, {})
    assert set(theirs) - set(kept) == {"AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "OPENAI_API_KEY", "PYTHONPATH"}


def test_what_is_given_wins() -> None:
    assert minimal_environment({"PATH": "/a"}, {"PATH": "/b", "X": "1"}) == {"PATH": "/b", "X": "1"}


def test_a_process_is_known_by_pid_and_start_time() -> None:
    me = identify(os.getpid())
    assert me is not None
    assert is_alive(me)
    assert not is_alive(ProcessId(me.pid, me.started - 3600))


def test_a_pid_that_nobody_has_is_not_alive() -> None:
    nobody = 2**22 + 1
    assert identify(nobody) is None
    assert not is_alive(ProcessId(nobody, 0.0))
