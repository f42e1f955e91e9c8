"""Tables of medians, with the goal beside the number and whether it is met."""
import statistics


class Goal:
    """A factor over the floor, a limit of its own, or nothing to reach."""

    def __init__(self, factor=None, limit=None, unit=''):
        self.factor, self.limit, self.unit = factor, limit, unit

    def __str__(self):
        if self.factor is not None:
            return f'<= {self.factor:g}x floor'
        if self.limit is not None:
            return f'<= {self.limit:g} {self.unit}'.rstrip()
        return ''

    def is_met(self, value, ratio):
        """None: there is nothing to reach, or no number."""
        if self.factor is not None:
            return None if ratio is None else ratio <= self.factor
        if self.limit is not None:
            return None if value is None else value <= self.limit
        return None


class Row:
    """One measure: its key in the results, what it is called, its goal."""

    def __init__(self, key, what, goal=None, is_compared=True):
        self.key, self.what = key, what
        self.goal = goal or Goal()
        self.is_compared = is_compared  # less is better, ahead of each peer?


def number(value):
    """Three digits that count, and no more."""
    if value is None:
        return '-'
    if value == 0:
        return '0'
    if abs(value) >= 100:
        return f'{value:,.0f}'
    return f'{value:.3g}'


def median(values):
    values = list(values)
    return statistics.median(values) if values else None


class Results:
    """{(who, key): {round: number}}"""

    def __init__(self):
        self.numbers = {}

    def add(self, who, result, i=0):
        """What was measured in round i."""
        for key, value in result.items():
            self.numbers.setdefault((who, key), {})[i] = value

    def has(self, who):
        return any(name == who for name, _ in self.numbers)

    def median(self, who, key):
        return median(self.numbers.get((who, key), {}).values())

    def ratio(self, ours, theirs, key):
        """Round by round, so that both had the same machine; the median."""
        floor = self.numbers.get((theirs, key), {})
        return median([value / floor[i] for i, value
                       in self.numbers.get((ours, key), {}).items()
                       if floor.get(i)])


def verdict(row, results, ours, floor, peers):
    """Is the goal reached, and is every peer behind us?"""
    value = results.median(ours, row.key)
    is_met = row.goal.is_met(value, results.ratio(ours, floor, row.key))
    theirs = {p: results.median(p, row.key) for p in peers}
    theirs = {p: v for p, v in theirs.items() if v is not None}
    if value is None or not row.is_compared or (is_met is None and not theirs):
        return '-'
    ahead = [p for p, v in theirs.items() if v < value]
    words = ['ok' if is_met is not False and not ahead else 'MISSED']
    if ahead:
        words.append('behind ' + ', '.join(ahead))
    return ', '.join(words)


def compare(title, rows, results, ours, floor, others=(), peers=()):
    """The table of one topic: we, the floor, the ratio, the goal, the others."""
    columns = [p for p in (*others, *peers) if results.has(p)]
    lines = [['', ours, floor, 'ratio', 'goal', 'verdict', *columns]]
    for row in rows:
        r = results.ratio(ours, floor, row.key)
        lines.append([
            row.what,
            number(results.median(ours, row.key)),
            number(results.median(floor, row.key)),
            '-' if r is None else f'{r:.2f}',
            str(row.goal),
            verdict(row, results, ours, floor, peers),
            *(number(results.median(p, row.key)) for p in columns),
        ])
    show(title, lines, left=(0, 4, 5))


def show(title, lines, left=(0,)):
    """Lines of cells, the first being the heads of the columns."""
    widths = [max(map(len, column)) for column in zip(*lines)]

    def line(cells):
        return '  '.join(
            c.ljust(w) if i in left else c.rjust(w)
            for i, (c, w) in enumerate(zip(cells, widths))).rstrip()

    print(f'\n{title}')
    print(line(lines[0]))
    print('  '.join('-' * w for w in widths))
    for cells in lines[1:]:
        print(line(cells))
