import subprocess
import sys

import psutil

from examples.quickstart.memory import PeakMemory

SIZE = 200 * 2**20
HOLD = f"block = bytearray({SIZE}); print('held', flush=True); input()"
GRANDCHILD = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {HOLD!r}]).returncode)"


def test_memory_of_grandchildren_counts_and_the_peak_stays():
    memory = PeakMemory()
    memory.sample()
    before = memory.peak_bytes
    with subprocess.Popen([sys.executable, "-c", GRANDCHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "held\n"
        memory.sample()
        during = memory.peak_bytes
        child.communicate("\n")
    memory.sample()
    assert before + SIZE <= during <= before + SIZE + 100 * 2**20
    assert memory.peak_bytes == during


def test_an_orphan_still_counts():
    memory = PeakMemory()
    forker = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {HOLD!r}]).pid, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", forker], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        orphan = psutil.Process(int(child.stdout.readline()))
        memory.sample()
        memory.peak_bytes = 0
        child.kill()
        child.wait()
        assert child.stdout.readline() == "held\n"
        memory.sample()
        orphan.kill()
    assert memory.peak_bytes >= SIZE
