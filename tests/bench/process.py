"""Start and join of one process: libreeve, the bare calls, and Python's.

Functions are compared with fork and _exit, programs (which end at once) with
vfork and execve; both do nothing that libreeve does besides: no pidfd, no
cleared signals and fds, no death with the owner, no told errors. Python is
multiprocessing.Process and subprocess.Popen of the Python that is Debian's.
"""
import os
import statistics
import subprocess
import sys

import table
from life import note, say

PYTHON = '/usr/bin/python3' if os.path.exists('/usr/bin/python3') \
    else sys.executable
PYTHON_CODE = '''
import multiprocessing, subprocess, sys, time
kind, n, mb, program = (sys.argv[1], int(sys.argv[2]), int(sys.argv[3]),
                        sys.argv[4])
ballast = bytearray(b"x") * (mb << 20)
context = multiprocessing.get_context("fork")
def nothing(): pass
for _ in range(n):
    begin = time.monotonic()
    if kind == "function":
        p = context.Process(target=nothing)
        p.start()
        p.join()
    else:
        subprocess.Popen([program, "nothing"]).wait()
    print(int((time.monotonic() - begin) * 1e6))
'''
# what, ours, ours with a guard, the bare one
KINDS = (('function', 'function', 'function-guard', 'fork'),
         ('program', 'program', 'program-guard', 'vfork'),
         ('program, shared memory', 'program-shared', None, 'vfork'))


def numbers(command):
    """The microseconds of each round, or nothing."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False,
                          timeout=120)
    if done.returncode:
        note(f'{command[0]}: status {done.returncode}')
        return []
    return sorted(int(line) for line in done.stdout.split())


def measure(command):
    found = numbers(command)
    if not found:
        return {}
    return {'p50': statistics.median(found),
            'p99': found[min(len(found) - 1, len(found) * 99 // 100)]}


def starts(setup):
    """A line for functions and programs, in small and in large owners."""
    program = os.path.join(setup.build, 'starts')
    n = 100 if setup.is_quick else 1000
    lines = [['start + join, us', 'libreeve', 'p99', 'bare', 'ratio',
              'with a guard', 'Python', 'ratio']]
    for ballast in (0, 256):
        for what, ours, guarded, bare in KINDS:
            results = table.Results()
            for i in range(setup.rounds):
                say(f'process, round {i + 1} of {setup.rounds}: {what}')
                for kind in filter(None, (ours, guarded, bare)):
                    results.add(kind, measure(
                        [program, kind, str(n), str(ballast)]), i)
                results.add('Python', measure(
                    [PYTHON, '-c', PYTHON_CODE, ours, str(n // 4),
                     str(ballast), program]), i)
            ratios = [results.ratio(ours, other, 'p50')
                      for other in (bare, 'Python')]
            ratios = ['-' if r is None else f'{r:.2f}' for r in ratios]
            lines.append([
                f'{what}, owner of {ballast} MB' if ballast else what,
                table.number(results.median(ours, 'p50')),
                table.number(results.median(ours, 'p99')),
                table.number(results.median(bare, 'p50')), ratios[0],
                table.number(results.median(guarded, 'p50')),
                table.number(results.median('Python', 'p50')), ratios[1]])
    table.show('Process: medians; bare is fork or vfork', lines)
