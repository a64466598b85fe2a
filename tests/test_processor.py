"""Memory that trainings keep: page faults of a wide network's steps, before and after the setting."""

import ctypes
import subprocess
import sys

import pytest

from lit_ae.nets.processor import KEPT, LARGEST, keep_freed_memory

FAULTS_A_STEP = """
import resource
import torch
from lit_ae.nets.processor import keep_freed_memory

net = torch.nn.Sequential(torch.nn.Linear(784, 2000), torch.nn.Linear(2000, 784))
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
x = torch.rand(256, 784)

def faults_a_step():
    for step in range(15):
        if step == 5:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        optimizer.zero_grad()
        (net(x) - x).square().mean().backward()
        optimizer.step()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10

before = faults_a_step()
keep_freed_memory()
print(before, faults_a_step())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the GNU C library of Linux has this setting")
def test_a_step_finds_the_memory_that_the_one_before_has_freed(monkeypatch):
    for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    done = subprocess.run([sys.executable, "-c", FAULTS_A_STEP], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 1_000 > 10 * after


@pytest.mark.parametrize(
    ("name", "value", "calls"),
    [
        ("MALLOC_TRIM_THRESHOLD_", "131072", []),
        ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072", []),
        ("GLIBC_TUNABLES", "glibc.rtld.nns=8", [(-3, LARGEST), (-1, KEPT)]),
    ],
)
def test_a_threshold_that_the_user_has_set_is_left(monkeypatch, name, value, calls):
    found = []

    class Library:
        @staticmethod
        def mallopt(setting, value):
            found.append((setting, value))

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library)
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    monkeypatch.setenv(name, value)
    keep_freed_memory()
    assert found == calls


def test_another_c_library_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    keep_freed_memory()
