"""slurm/train.sbatch on a real SLURM of two nodes: what ends a start, and what becomes of the job."""

from pathlib import Path

import psutil
import pytest
from cluster import Job, command, submit_stand_in, wait_for

HERE = ("--nodes=1", "--nodelist=n1")


@pytest.fixture(scope="module")
def jobs(slurm, tmp_path_factory) -> dict[str, Job]:
    """Jobs that wait for SLURM more than they work, all at the same time."""
    folder = tmp_path_factory.mktemp("jobs")
    return {
        "standstill": submit_stand_in(folder / "standstill", *["lose"] * 9, options=HERE),
        "time limit": submit_stand_in(
            folder / "limit", "hang", "finish", options=(*HERE, "--time=1", "--signal=B:USR1@59", "--export=ALL,MARGIN_S=45")
        ),
        "fault": submit_stand_in(folder / "fault", "fail", options=HERE),
    }


def processes_with(text: str) -> list[int]:
    return [one.pid for one in psutil.process_iter(["cmdline"]) if text in " ".join(one.info["cmdline"] or [])]


@pytest.mark.timeout(900)
def test_a_job_that_is_asked_to_end_saves_first_and_goes_on(slurm, tmp_path, temporary):
    """With Ray over both nodes: the signal goes through both scripts, and nothing of Ray stays on a node."""
    job = submit_stand_in(tmp_path, "work", "finish", options=("--nodes=2",), ray=temporary)
    job.wait_for_start(1)
    assert [oct(path.stat().st_mode) for path in temporary.iterdir()] == ["0o40700"] * 2, "a folder for each node"
    command("scancel", "--batch", "--signal=USR1", job.number)
    assert job.status == 0 and int(job.field("Restarts")) >= 1, job.log  # a Ray that does not come up in time costs a start too
    run = tmp_path / "run"
    assert job.starts == [f"train a.yaml --run.folder {run} --cluster.address auto", f"resume {run} --cluster.address auto"]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["step_1", "step_2"]
    assert "the step under way is finished and saved" in job.log and "the run asked for it, requeued" in job.log
    assert "Killed" not in job.log, job.log
    assert not Path(f"{run}.starts").exists()
    assert list(temporary.iterdir()) == []


def test_a_lost_node_costs_the_job_a_start(slurm, tmp_path):
    job = submit_stand_in(tmp_path, "work", "finish", options=("--nodes=2",))
    job.wait_for_start(1)
    command("scontrol", "update", "nodename=n2", "state=down", "reason=test")
    try:
        wait_for(lambda: job.field("Restarts") == "1", lambda: job.log)
    finally:
        command("scontrol", "update", "nodename=n2", "state=resume")
    assert job.status == 0, job.log
    assert len(job.starts) == 2


def test_a_cancelled_job_saves_and_is_over(slurm, tmp_path):
    job = submit_stand_in(tmp_path, "work", "finish", options=HERE)
    job.wait_for_start(1)
    command("scancel", job.number)
    job.wait("CANCELLED")
    wait_for(lambda: not processes_with(f"{tmp_path}/bin/lmm-r1-mega"), lambda: job.log)
    assert len(job.starts) == 1 and (tmp_path / "run" / "checkpoints" / "step_1").is_dir()


def test_a_fault_is_not_tried_again(jobs):
    assert jobs["fault"].status == 70
    assert len(jobs["fault"].starts) == 1


def test_three_starts_without_a_newer_checkpoint_are_the_last(jobs):
    job = jobs["standstill"]
    assert job.status == 2
    assert len(job.starts) == 3
    assert "3 starts in a row without a checkpoint newer than none, so no more: raise --time" in job.log


def test_a_run_that_does_not_end_in_time_is_requeued_before_its_limit(jobs):
    job = jobs["time limit"]
    assert job.status == 0, job.log
    assert job.field("Restarts") == "1" and len(job.starts) == 2
    assert "no time is left to save, requeued" in job.log
