"""Messages per second from process to process: Queue and Pipe of libreeve, the
bare primitives, and Python's.

Bare are a ring under one robust mutex, which does nothing besides, and a
SOCK_SEQPACKET pair with a buffer for all sizes. Python is multiprocessing of the
Python that is Debian's, with bytes: Queue.put and get, Connection.send_bytes and
recv_bytes.
"""
import os
import subprocess

import table
from life import note, say
from process import PYTHON

PYTHON_CODE = '''
import multiprocessing, sys, time
kind, size, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
context = multiprocessing.get_context("fork")
data = b"x" * size
if kind == "queue":
    queue = context.Queue(1000)
    send, receive = queue.put, queue.get
else:
    receiver, sender = context.Pipe(False)
    send, receive = sender.send_bytes, receiver.recv_bytes
def repeat(call, *args):
    for _ in range(n):
        call(*args)
begin = time.monotonic()
both = [context.Process(target=repeat, args=(send, data)),
        context.Process(target=repeat, args=(receive,))]
for p in both:
    p.start()
for p in both:
    p.join()
print(n / (time.monotonic() - begin))
'''
# size, messages of ours, of Python's
SIZES = ((8, 2000000, 50000), (4096, 400000, 40000), (1 << 20, 4000, 300))
SIDES = (1, 2, 4, 8)
BARE = {'queue': 'ring', 'pipe': 'seqpacket'}


def rate(command):
    """Messages per second, or nothing."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False,
                          timeout=120)
    if done.returncode:
        note(f'{command[0]}: status {done.returncode}')
        return {}
    return {'rate': float(done.stdout)}


def ours(setup, kind, size, n, sides=(1, 1)):
    """One run of programs/queues."""
    if setup.is_quick:
        n //= 10
    return rate([os.path.join(setup.build, 'queues'), kind, str(size), str(n),
                 *map(str, sides)])


def by_size(setup):
    """Queue and Pipe, one to one."""
    lines = [['messages/s', 'libreeve', 'bare', 'ratio', 'Python', 'ratio']]
    for kind, bare in BARE.items():
        for size, n, n_python in SIZES:
            results = table.Results()
            for i in range(setup.rounds):
                say(f'queue, round {i + 1} of {setup.rounds}: {kind} {size}')
                results.add(kind, ours(setup, kind, size, n), i)
                results.add(bare, ours(setup, bare, size, n // 4), i)
                results.add('Python', rate([PYTHON, '-c', PYTHON_CODE, kind,
                                            str(size), str(n_python)]), i)
            ratios = [results.ratio(kind, other, 'rate')
                      for other in (bare, 'Python')]
            ratios = ['-' if r is None else f'{r:.2f}' for r in ratios]
            lines.append([
                f'{kind} {size} B',
                table.number(results.median(kind, 'rate')),
                table.number(results.median(bare, 'rate')), ratios[0],
                table.number(results.median('Python', 'rate')), ratios[1]])
    table.show('Queue and Pipe: medians; bare is a robust ring or SEQPACKET',
               lines)


def by_sides(setup):
    """A queue of 8 bytes between many: messages per second, times the bare."""
    lines = [['8 B messages/s'] + [f'to {n}' for n in SIDES]]
    for producers in SIDES:
        line = [f'from {producers}']
        for consumers in SIDES:
            results = table.Results()
            for i in range(setup.rounds):
                say(f'queue, round {i + 1} of {setup.rounds}: '
                    f'{producers} to {consumers}')
                for kind in ('queue', 'ring'):
                    results.add(kind, ours(setup, kind, 8, 400000,
                                           (producers, consumers)), i)
            ratio = results.ratio('queue', 'ring', 'rate')
            line.append(table.number(results.median('queue', 'rate')) +
                        ('' if ratio is None else f' ({ratio:.1f}x)'))
        lines.append(line)
    table.show('Queue: producers to consumers, and how many times the bare ring',
               lines)


def messages(setup):
    """All of it."""
    by_size(setup)
    by_sides(setup)
