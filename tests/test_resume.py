"""Long work that is cut off: killed at any moment, without room on the disk, with other data, in several
processes.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_cli import run

from explorer.formats import find_prompts, read_prompt

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow  # processes that are killed
SIZES = ("--length", "3", "--batch-size", "4", "--seeds", "0,1", "--init", "random,class-label")


@pytest.fixture
def data(tmp_path) -> Path:
    """Forty texts of two labels."""
    generator = np.random.default_rng(0)
    words = ["alpha", "mine", "sort", "little", "then", "some", "me", "too"]
    rows = [f"{' '.join(generator.choice(words, 5))}\t{generator.choice(['bad', 'good'])}" for _ in range(40)]
    path = tmp_path / "texts.tsv"
    path.write_text("text\tlabel\n" + "\n".join(rows) + "\n")
    return path


def command(model: Path, data: Path, out: Path, *options: str) -> list[str]:
    return [
        "-m",
        "explorer",
        "train",
        "--model",
        str(model),
        "--data",
        str(data),
        "--dev",
        str(data),
        "--out",
        str(out),
        *SIZES,
        *options,
    ]


def start(*arguments: str, **options: object) -> subprocess.Popen:
    """A fresh process, one thread so that sums are the same every time."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        **options,
    )


def finish(*arguments: str, code: int = 0, **options: object) -> str:
    """Run to the end; what was said."""
    process = start(*arguments, **options)
    out, said = process.communicate(timeout=240)
    assert process.returncode == code, said[-2000:]
    assert "Traceback" not in said
    return out + said


def finish_here(*arguments: str) -> str:
    """As `finish`, of a command of the explorer, in this process, where all is imported; what it printed."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return run(*arguments[2:]).stdout
    finally:
        torch.set_num_threads(threads)


def wait_for(condition, process: subprocess.Popen, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()[-2000:]
        assert time.monotonic() < end
        time.sleep(0.02)


def test_killed_at_random_moments_it_ends_with_the_same_prompts(tiny_t5_folder, data, tmp_path):
    import torch

    options = ("--steps", "120", "--evaluate-every", "10")
    finish_here(*command(tiny_t5_folder, data, tmp_path / "whole", *options))
    generator, out = np.random.default_rng(), tmp_path / "killed"
    for _ in range(3):
        process = start(*command(tiny_t5_folder, data, out, *options))
        already = {path: path.stat().st_mtime_ns for path in out.rglob(".*.tuning.pt")}
        wait_for(
            lambda seen=already: any(
                seen.get(path) != path.stat().st_mtime_ns
                for path in out.rglob(".*.tuning.pt")
                if path.exists()
            ),
            process,
        )
        time.sleep(generator.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for path in out.rglob(".*.tuning.pt"):
            assert torch.load(path, weights_only=True)["step"] % 10 == 0, "the last whole state, or none"
        for _, prompt in find_prompts(out):
            assert prompt.origin.history[-1].step == 120, "a prompt that is there is finished"
    finish_here(*command(tiny_t5_folder, data, out, *options))
    assert not list(out.rglob(".*"))
    expected = dict(find_prompts(tmp_path / "whole"))
    assert len(expected) == 4
    for path, prompt in expected.items():
        resumed = read_prompt(out / path.relative_to(tmp_path / "whole"))
        np.testing.assert_array_equal(prompt.vectors, resumed.vectors)
        np.testing.assert_array_equal(prompt.trajectory.vectors, resumed.trajectory.vectors)
        assert prompt.origin.history == resumed.origin.history


def test_a_second_call_into_one_folder_is_refused_at_once_and_a_killed_one_locks_nobody_out(
    tiny_t5_folder, data, tmp_path
):
    out = tmp_path / "out"
    first = start(*command(tiny_t5_folder, data, out, "--steps", "100000", "--evaluate-every", "10"))
    wait_for(lambda: list(out.rglob(".*.tuning.pt")), first)
    said = finish(*command(tiny_t5_folder, data, out, "--steps", "20", "--task", "other"), code=1)
    assert said.splitlines() == [
        (
            f"Error: {out}: process {first.pid} is at work in this folder; wait until it has ended, or "
            "choose another"
        )
    ]
    first.kill()
    first.communicate()
    said = finish_here(
        *command(tiny_t5_folder, data, out, "--steps", "20", "--evaluate-every", "10", "--task", "other")
    )
    assert len([line for line in said.splitlines() if line.startswith(str(out))]) == 4
    assert not list(out.rglob(".lock"))


def test_data_that_was_edited_meanwhile_is_named(tiny_t5_folder, data, tmp_path):
    out = tmp_path / "out"
    process = start(*command(tiny_t5_folder, data, out, "--steps", "100000", "--evaluate-every", "10"))
    wait_for(lambda: list(out.rglob(".*.tuning.pt")), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    data.write_text(data.read_text().replace("alpha", "omega"))
    said = finish(*command(tiny_t5_folder, data, out, "--steps", "100000", "--evaluate-every", "10"), code=1)
    (line,) = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert "a run that was begun with other settings (train data: " in line
    assert "give the same, or remove it to begin this run anew" in line


def test_a_full_disk_is_one_line_and_no_half_file(tiny_t5_folder, data, tmp_path):
    """A limit on the size of files fails writes as a full disk does."""
    import torch

    out = tmp_path / "out"
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))}
    said = finish(
        *command(tiny_t5_folder, data, out, "--steps", "20", "--evaluate-every", "10"), code=1, **limit
    )
    (line,) = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert "cannot be written (File too large); make room" in line
    kept = [path for path in out.rglob("*") if path.is_file()]
    assert all(
        path.name.endswith(".tuning.pt") and torch.load(path, weights_only=True)["step"] < 20 for path in kept
    )
    finish_here(*command(tiny_t5_folder, data, out, "--steps", "20", "--evaluate-every", "10"))
    assert len(list(find_prompts(out))) == 4


def launched(*arguments: str) -> list[str]:
    """What `accelerate launch` runs for several processes on one machine; without a GPU they talk over
    gloo.
    """
    options = (
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--main_process_port",
        "0",
    )
    return ["-m", "accelerate.commands.launch", *options, *arguments]


def test_two_processes_share_the_runs_and_the_scoring(tiny_t5_folder, data, tmp_path):
    import json

    options = ("--steps", "20", "--evaluate-every", "10")
    said = finish(*launched(*command(tiny_t5_folder, data, tmp_path / "two", *options)))
    finish_here(*command(tiny_t5_folder, data, tmp_path / "one", *options))
    folders = [line for line in said.splitlines() if line.startswith(str(tmp_path / "two"))]
    assert [Path(line).name for line in folders] == [
        f"{i}-{seed}-length-3" for i in ("random", "class-label") for seed in (0, 1)
    ]
    assert "[1] texts/" in said
    for folder in folders:
        one, two = read_prompt(folder.replace("/two/", "/one/")), read_prompt(folder)
        np.testing.assert_array_equal(one.trajectory.vectors, two.trajectory.vectors)
    other = Path(shutil.copy(data, tmp_path / "other.tsv"))
    for asked in (
        ("evaluate", *folders, "--data", str(data)),
        ("shift", *folders, "--source", str(data), "--target", str(other)),
    ):
        process = start(*launched("-m", "explorer", *asked, "--json"))
        out, message = process.communicate(timeout=240)
        assert process.returncode == 0, message[-2000:]
        together = json.loads(out)
        assert together == json.loads(run(*asked, "--json").stdout)
        assert len(together) == 4 * (1 + (asked[0] == "shift"))


def test_a_lost_process_fails_the_launch_and_training_goes_on_from_what_was_kept(
    tiny_t5_folder, data, tmp_path
):
    out = tmp_path / "out"
    launcher = start(
        *launched(*command(tiny_t5_folder, data, out, "--steps", "1000000", "--evaluate-every", "10"))
    )
    wait_for(lambda: len(list(out.rglob(".*.tuning.pt"))) == 4, launcher)
    children = subprocess.run(
        ["pgrep", "-P", str(launcher.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    os.kill(int(children[-1]), signal.SIGKILL)
    _, said = launcher.communicate(timeout=120)
    assert launcher.returncode != 0
    assert "Signal 9 (SIGKILL)" in said
    said = finish_here(*command(tiny_t5_folder, data, out, "--steps", "20", "--evaluate-every", "10"))
    assert len([line for line in said.splitlines() if line.startswith(str(out))]) == 4
