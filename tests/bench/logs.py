"""Log throughput: one process that writes flat out, into a rotated file.

Beside it the same process before `cat > file`: a pipe and a copy is the least
that a supervisor can do with what a worker writes.
"""
import os
import time

import machine
import peers
import table
from life import Failed, Run, note, say

MB = 1 << 20
FILE_BYTES = 16 * MB
SECONDS = 60


class ReeveWithWriter(peers.Reeve):
    """svc, as in all benchmarks, and beside it the writer, not yet started."""
    write_bytes = total_bytes = 0  # see reeve_once

    def configure(self):
        super().configure()
        with open(self.path('reeve.ini'), 'a') as f:
            f.write(f'''
[worker:writer]
command={self.setup.program('writer')} {self.fifo} {self.total_bytes} \
{self.write_bytes}
autostart=false
autorestart=false
startsecs=0
stdout_logfile={self.log}
stdout_logfile_maxbytes={FILE_BYTES}
stdout_logfile_backups={self.total_bytes // FILE_BYTES + 2}
stderr_logfile=NONE
''')

    @property
    def log(self):
        return self.path('log/writer.log')

    def written(self):
        """Bytes in all generations of the log."""
        directory = os.path.dirname(self.log)
        return sum(os.path.getsize(os.path.join(directory, name))
                   for name in os.listdir(directory)
                   if name.startswith('writer.log'))


def settled_cpu(pids):
    """CPU seconds, once they do not change any more."""
    before = None
    while before != (before := machine.cpu_seconds(pids)):
        time.sleep(0.1)
    return before


def stamps_of_writer(stamps):
    found = stamps.collect(2, SECONDS)
    if len(found) < 2:
        raise Failed('the writer did not end')
    return found[1][2] - found[0][2]


def reeve_once(setup, total_bytes, write_bytes):
    """MB/s, and CPU seconds of reeved for each GB."""
    kind = type('ReeveWithThisWriter', (ReeveWithWriter,),
                {'total_bytes': total_bytes, 'write_bytes': write_bytes})
    run = Run(setup, kind, 1)
    try:
        run.start()
        before = settled_cpu([run.root])
        run.run([setup.reeve, '-s', run.path('run/control.sock'), 'start',
                 '--no-wait', 'writer'])
        seconds = stamps_of_writer(run.stamps)
        cpu = settled_cpu([run.root]) - before
        lost = total_bytes - run.supervisor.written()
        if lost:
            note(f'reeve lost {lost:,} of {total_bytes:,} bytes of log')
        run.stop()
        return rates(total_bytes, seconds, cpu)
    except (Failed, OSError) as e:
        note(f'reeve: {e}')
        return {}
    finally:
        run.close()


def cat_once(setup, total_bytes, write_bytes):
    """The same for cat."""
    run = Run(setup, peers.Supervisor, 1)
    try:
        source, sink = os.pipe()
        path = run.path('cat.log')
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        cat = run.spawn(['cat'], log, stdin=source)
        os.close(source)
        run.spawn([setup.program('writer'), run.stamps.path, str(total_bytes),
                   str(write_bytes)], sink)
        os.close(sink)
        seconds = stamps_of_writer(run.stamps)
        _, _, usage = os.wait4(cat, 0)
        os.close(log)
        if os.path.getsize(path) != total_bytes:
            note('cat lost some of the log')
        return rates(total_bytes, seconds, usage.ru_utime + usage.ru_stime)
    except (Failed, OSError) as e:
        note(f'cat: {e}')
        return {}
    finally:
        run.close()


def rates(total_bytes, seconds, cpu_seconds):
    return {'rate': total_bytes / 1e6 / seconds,
            'cpu': cpu_seconds / (total_bytes / 1e9)}


def throughput(setup):
    total = (64 if setup.is_quick else 512) * MB
    if peers.Reeve.missing(setup):
        return
    lines = [['', 'reeve', 'cat > file', 'ratio']]
    for write_bytes, what in ((100, 'a write for each line of 100 bytes'),
                              (65536, 'writes of 64 KiB')):
        size = total // 4 if write_bytes < 4096 else total
        size -= size % write_bytes
        results = table.Results()
        for i in range(setup.rounds):
            say(f'log, round {i + 1} of {setup.rounds}: {what}')
            results.add('reeve', reeve_once(setup, size, write_bytes), i)
            results.add('cat', cat_once(setup, size, write_bytes), i)
        for key, unit in (('rate', 'MB/s'), ('cpu', 'CPU seconds per GB')):
            r = results.ratio('reeve', 'cat', key)
            lines.append([f'{what}: {unit}',
                          table.number(results.median('reeve', key)),
                          table.number(results.median('cat', key)),
                          '-' if r is None else f'{r:.2f}'])
    table.show('Log: one worker that writes flat out, rotated at '
               f'{FILE_BYTES // MB} MB', lines)
