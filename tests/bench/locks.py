"""Locks, events, conditions, barriers: libreeve's, the bare ones, and Python's.

All but Python's are programs/locks.c; bare is glibc's robust, process-shared
mutex, and two words with a futex for what goes back and forth.
Round trips hang on where the two processes happen to run: what sleeps is woken on
the same CPU in 5 us, on another in up to 70.
"""
import os
import subprocess

import table
from life import note, say
from process import PYTHON

PYTHON_CODE = '''
import multiprocessing, sys, time
context = multiprocessing.get_context("fork")
kind, n = sys.argv[1], int(sys.argv[2])
lock, events = context.Lock(), (context.Event(), context.Event())
condition, barrier = context.Condition(), context.Barrier(2)
turn, value = context.RawValue("i", 0), context.Value("l", 0)
def run_lock(side):
    for _ in range(n):
        lock.acquire()
        lock.release()
def run_value(side):
    for _ in range(n):
        with value.get_lock(): value.value += 1
def run_event(side):
    for _ in range(n):
        if side == 0: events[1].set()
        events[side].wait()
        events[side].clear()
        if side == 1: events[0].set()
def run_condition(side):
    with condition:
        for _ in range(n):
            while turn.value != side: condition.wait()
            turn.value = 1 - side
            condition.notify()
def run_barrier(side):
    for _ in range(2 * n): barrier.wait()
run = globals()["run_" + kind.split("-")[0]]
other = None if kind == "lock" else context.Process(target=run, args=(1,))
begin = time.monotonic()
if other: other.start()
run(0)
if other: other.join()
print((time.monotonic() - begin) * 1e9 / n / (2 if kind.endswith("-two") else 1))
'''
# what, ours, bare, operations, Python's share of them, goal: at most so many
# times what bare takes
LINES = (('Lock alone, ns', 'lock', 'mutex', 10_000_000, 0.1, 1 / 0.8),
         ('Lock, two processes, ns', 'lock-two', 'mutex-two', 5_000_000, 0.05,
          1 / 0.9),
         ('Value + 1, two processes, ns', 'value-two', 'mutex-two', 5_000_000,
          0.01, 1.3),
         ('Event, there and back, ns', 'event', 'futex', 30_000, 0.1, 1.3),
         ('Condition, there and back, ns', 'condition', 'futex', 30_000, 0.1,
          1.3),
         ('Barrier, two rounds, ns', 'barrier', 'futex', 30_000, 0.1, 1.3))


def measure(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False,
                          timeout=120)
    if done.returncode:
        note(f'{command[0]}: status {done.returncode}')
        return {}
    return {'nsec': float(done.stdout)}


def row(setup, line):
    what, ours, bare, n, share, goal = line
    program = setup.program('locks')
    results = table.Results()
    n = n // 4 if setup.is_quick else n
    for i in range(setup.rounds):
        say(f'locks, round {i + 1} of {setup.rounds}: {what}')
        results.add(ours, measure([program, ours, str(n)]), i)
        results.add(bare, measure([program, bare, str(n)]), i)
        results.add('Python', measure(
            [PYTHON, '-c', PYTHON_CODE, ours, str(int(n * share))]), i)
    ratio = results.ratio(ours, bare, 'nsec')
    python = results.ratio(ours, 'Python', 'nsec')
    return [what, table.number(results.median(ours, 'nsec')),
            table.number(results.median(bare, 'nsec')),
            '-' if ratio is None else f'{ratio:.2f}', f'<= {goal:.2f}x bare',
            '-' if ratio is None else
            'reached' if ratio <= goal else 'MISSED',
            table.number(results.median('Python', 'nsec')),
            '-' if python is None else f'{python:.3f}']


def locks(setup):
    table.show(f'Locks: medians of {setup.rounds} rounds, '
               f'{os.cpu_count()} processors',
               [['', 'libreeve', 'bare', 'ratio', 'goal', 'verdict', 'Python',
                 'ratio']] + [row(setup, line) for line in LINES],
               left=(0, 4, 5))
