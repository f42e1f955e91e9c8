"""make bench: reeve beside the floor and beside other supervisors.

supervisors.py [--quick] --build DIRECTORY --reeved FILE --reeve FILE

Prints one table per topic. What is measured, for n processes of programs/svc:
  start     from the start of the supervisor to the first instruction of the
            last process
  restart   from kill -9 of one to the first instruction of its replacement
  storm     from the first of n kill -9 in a row to the first instruction of
            the last replacement; and the CPU time of the supervisor for it,
            which on a busy machine is the steadier number
  status    the program that shows the status of all, from its start to its end
  stop      from the request to the end of the last process, the supervisor's
            own included
  memory    PSS of all processes but the supervised
  idle      context switches and CPU time of all processes but the supervised

Supervisors take turns, round after round, and ratios are taken within a round:
the machine may be busy, but then it is for all. Says what it finds, and ends
with 0 whatever that is: it judges, but breaks no build.
"""
import argparse
import os
import signal
import sys
import time

import locks
import logs
import machine
import manager
import peers
import pool
import process
import queues
import table
from life import Failed, Run, note, say
from table import Goal, Row

ROWS = (
    Row('start', 'start all, ms', Goal(factor=1.5)),
    Row('restart', 'kill -9 -> replacement, ms', Goal(factor=1.3)),
    Row('restart_min', '  the fastest, ms', is_compared=False),
    Row('storm', 'all killed at once -> all back, ms', Goal(factor=1.3)),
    Row('storm_cpu', '  CPU of the supervisor, ms', is_compared=False),
    Row('status', 'status of all, ms', Goal(limit=3, unit='ms')),
    Row('stop', 'stop all, ms', Goal(factor=1.5)),
    Row('memory', 'memory of the supervisor, MB PSS', Goal(limit=3, unit='MB')),
    Row('processes', '  in processes', is_compared=False),
    Row('idle_switches', 'idle: context switches', Goal(limit=0)),
    Row('idle_cpu', 'idle: CPU, ms', is_compared=False),
)


class Setup:
    """What is run, where, and how thoroughly."""

    def __init__(self, options):
        self.is_quick = options.quick
        self.build = os.path.abspath(options.build)
        self.reeved = os.path.abspath(options.reeved)
        self.reeve = os.path.abspath(options.reeve)
        self.n = 100 if options.quick else 1000
        self.rounds = 2 if options.quick else 3
        self.idle_seconds = 10 if options.quick else 30
        self.many = 10000
        self.deadline = machine.now() + (30 if options.quick else 420)
        self.has_cgroups = self.find_cgroups()

    def program(self, name):
        return os.path.join(self.build, name)

    def times(self, n):
        """How often something is measured that should be n times."""
        return max(2, n // 3) if self.is_quick else n

    @staticmethod
    def find_cgroups():
        """May leaves be made below our own cgroup v2 directory?"""
        path = machine.cgroup_of(os.getpid())
        if not path:
            return False
        probe = os.path.join(path, f'reeve-bench-probe-{os.getpid()}')
        try:
            os.mkdir(probe)
            os.rmdir(probe)
        except OSError:
            return False
        return True


def measure(setup, kind, n, has_deaths=True):
    """One life of a supervisor; what could be measured until it failed."""
    result = {}
    run = Run(setup, kind, n)
    try:
        result['start'] = run.start() * 1e3
        time.sleep(run.supervisor.settle)
        own = run.own_processes()
        result['memory'] = machine.pss_bytes(own) / 1e6
        result['processes'] = len(own)
        result['status'] = run.status() * 1e3
        if has_deaths:
            seconds = run.restarts()
            result['restart'] = table.median(seconds) * 1e3
            result['restart_min'] = min(seconds) * 1e3
            time.sleep(run.supervisor.settle)
            before = machine.cpu_seconds(own)
            result['storm'] = run.storm() * 1e3
            time.sleep(run.supervisor.settle)
            result['storm_cpu'] = (machine.cpu_seconds(own) - before) * 1e3
        result['stop'] = run.stop() * 1e3
    except (Failed, OSError) as e:
        note(f'{run.supervisor.name}: {e}')
    finally:
        run.close()
    return result


def measure_idle(setup, kinds, results):
    """All at once: they do not disturb each other by doing nothing."""
    runs = []
    try:
        for kind in kinds:
            run = Run(setup, kind, setup.n)
            runs.append(run)
            try:
                run.start()
            except (Failed, OSError) as e:
                note(f'{run.supervisor.name}: {e}')
                run.root = None
        time.sleep(3)
        alive = [(r, r.own_processes()) for r in runs if r.root]
        before = [(machine.context_switches(own), machine.cpu_seconds(own))
                  for _, own in alive]
        time.sleep(setup.idle_seconds)
        for (run, own), (switches, cpu) in zip(alive, before):
            results.add(run.supervisor.name, {
                'idle_switches': machine.context_switches(own) - switches,
                'idle_cpu': (machine.cpu_seconds(own) - cpu) * 1e3,
            })
            stop_quietly(run)
    finally:
        for run in runs:
            run.close()


def stop_quietly(run):
    try:
        run.stop()
    except (Failed, OSError) as e:
        note(f'{run.supervisor.name}: {e}')


def rounds(setup, kinds, n, results, n_rounds, has_deaths=True):
    """Supervisors take turns. Who cannot even start has had its turn."""
    for i in range(n_rounds):
        for kind in list(kinds):
            if i >= (1 if setup.is_quick and kind in peers.PEERS
                     else kind.max_rounds):
                continue
            if i > 0 and machine.now() > setup.deadline:
                note(f'round {i + 1} of {kind.name} is left out: this machine '
                     'is too busy for it now')
                continue
            say(f'round {i + 1} of {n_rounds}: {kind.name}, {n} processes, '
                f'load {os.getloadavg()[0]:.1f}')
            result = measure(setup, kind, n, has_deaths)
            results.add(kind.name, result, i)
            if 'start' not in result:
                kinds.remove(kind)


def supervision(setup, kinds):
    results, kinds = table.Results(), list(kinds)
    rounds(setup, kinds, setup.n, results, setup.rounds)
    say(f'idle for {setup.idle_seconds} s, all at once')
    measure_idle(setup, kinds, results)
    names = [p.name for p in peers.PEERS]
    about = f'{setup.n:,} processes, medians of at most {setup.rounds} rounds'
    if setup.is_quick:
        about += ' (the goals are for 1,000)'
    table.compare(
        f'Supervision: {about}; idle for {setup.idle_seconds} s', ROWS, results,
        'reeve', 'floor', others=['vfork floor'], peers=names)
    if setup.has_cgroups:
        table.compare(
            'The same without cgroups (reeve: cgroup=off)', ROWS, results,
            'reeve (cgroup=off)', 'floor (no cgroup)')


def many_workers(setup, kinds):
    if setup.is_quick:
        print(f'\n{setup.many:,} workers: left out by --quick')
        return
    results = table.Results()
    kinds = [k for k in kinds if k in (peers.Reeve, peers.ReeveWithoutCgroup,
                                       peers.FloorWithoutCgroup)]
    rounds(setup, list(kinds), setup.many, results, 1, has_deaths=False)
    columns(f'{setup.many:,} workers without log capture',
            [r for r in ROWS if r.key in ('start', 'status', 'stop', 'memory')],
            kinds, results)


def captured(setup, kinds):
    """What it costs that the output of each worker is captured."""
    if peers.Reeve not in kinds:
        return
    both = [peers.Reeve, peers.ReeveWithLogs]
    results = table.Results()
    rounds(setup, list(both), setup.n, results, 1)
    columns(f'{setup.n:,} workers with log capture (a pipe and a file each)',
            [row for row in ROWS if not row.key.startswith('idle')], both,
            results)
    without, captured_ = (results.median(k.name, 'memory') for k in both)
    if without is not None and captured_ is not None:
        print(f'{(captured_ - without) * 1e6 / setup.n:,.0f} bytes of PSS for '
              'each worker that is captured')


def columns(title, rows, kinds, results):
    """A table without judgement: a column for each."""
    table.show(title, [['', *(k.name for k in kinds)]] + [
        [row.what, *(table.number(results.median(k.name, row.key))
                     for k in kinds)] for row in rows])


TOPICS = {
    'supervision': supervision,
    'capture': captured,
    'many': many_workers,
    'logs': lambda setup, kinds: logs.throughput(setup),
    'process': lambda setup, kinds: process.starts(setup),
    'queue': lambda setup, kinds: queues.messages(setup),
    'pool': lambda setup, kinds: pool.pools(setup),
    'sync': lambda setup, kinds: locks.locks(setup),
    'manager': lambda setup, kinds: manager.managers(setup),
}


def available(setup):
    """Who takes part; says who does not, and why."""
    kinds = [peers.Floor, peers.Reeve, peers.FloorWithoutCgroup,
             peers.ReeveWithoutCgroup, peers.FloorVfork, *peers.PEERS]
    if not setup.has_cgroups:
        note('no writable cgroup v2 here: all is measured without')
        kinds.remove(peers.FloorWithoutCgroup)
        kinds.remove(peers.ReeveWithoutCgroup)
    for kind in list(kinds):
        lacking = kind.missing(setup)
        if lacking:
            note(f'{kind.name} is left out: {lacking} is missing')
            kinds.remove(kind)
    return kinds


def show_load(when):
    load = ' '.join(f'{x:.2f}' for x in os.getloadavg())
    print(f'load average {when}: {load}; {os.cpu_count()} processors')


def parse_options():
    parser = argparse.ArgumentParser()
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--build', required=True)
    parser.add_argument('--reeved', required=True)
    parser.add_argument('--reeve', required=True)
    parser.add_argument('topics', nargs='*', metavar='TOPIC',
                        help='of: ' + ' '.join(TOPICS))
    return parser.parse_args()


def main():
    options = parse_options()
    setup = Setup(options)
    # So that the clean-up of what is under way is run.
    for signo in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signo, lambda *_: sys.exit(1))
    sys.stdout.reconfigure(line_buffering=True)
    machine.become_subreaper()
    machine.raise_nofile()
    show_load('before')
    kinds = available(setup)
    for topic in options.topics or TOPICS:
        TOPICS[topic](setup, kinds)
    show_load('after')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
