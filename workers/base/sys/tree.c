/* Who belongs to a tree. (Its end is in tree_kill.c.)
 *
 * Membership is asked of a snapshot: seeds are the leader, its group and its
 * session; then everything that descends from a seed; then everything that
 * carries the mark, and descends from that. Parents are looked up once per
 * snapshot, and every process is walked over once, so that one query costs a
 * pass over the processes; environments, which cost much more, are read once
 * per snapshot and only for those that belong by nothing else. We see those of
 * our own user, or all as root: others could not be signalled either.
 */
#include "workers/base/sys/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/procstat.h"

#define DIRENT_BUFFER	  16384
#define PROCESSES_MIN	  256 /* first allocation */
#define MARK_NAME_MAX	  64  /* longer names are not cached */
#define CHILDREN_FILE_MAX (64 << 20)
#define ANCESTORS_MAX	  4096

#define NO_PARENT SIZE_MAX

enum belonging { UNKNOWN, ON_PATH, NO, YES };

struct tree_index {
	size_t *parents;	   /* NO_PARENT: not in the snapshot */
	unsigned char *belongings; /* of the query that is running */
	char mark_name[MARK_NAME_MAX];
	bool *is_read; /* marks[i] is valid */
	char (*marks)[TREE_MARK_LEN + 1];
};

/* --- snapshot ------------------------------------------------------------ */

/* The pid that a name in /proc stands for; 0: none. */
static pid_t parse_pid(const char *name)
{
	pid_t pid = 0;

	for (; *name; name++) {
		if (*name < '0' || *name > '9' || pid > INT32_MAX / 10 - 1)
			return 0;
		pid = pid * 10 + (*name - '0');
	}
	return pid;
}

static int add_process(struct tree_snapshot *s, size_t *size, pid_t pid)
{
	struct tree_process *larger, process;
	int r;

	r = procstat_read(pid, &process);
	if (r == -ESRCH || (r == 0 && process.is_kernel))
		return 0;
	if (r < 0)
		return r;
	if (s->n_processes == *size) {
		*size = MAX(2 * *size, (size_t)PROCESSES_MIN);
		larger = reallocarray(s->processes, *size, sizeof(*larger));
		if (!larger)
			return -ENOMEM;
		s->processes = larger;
	}
	s->processes[s->n_processes++] = process;
	return 0;
}

static int read_processes(struct tree_snapshot *s)
{
	_cleanup_(fd_closep) int fd =
		open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(free_pointer) char *buf = NULL;
	size_t size = 0;

	if (fd < 0)
		return -errno;
	buf = malloc(DIRENT_BUFFER);
	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n = getdents64(fd, buf, DIRENT_BUFFER), at = 0;

		if (n <= 0)
			return n < 0 ? -errno : 0;
		while (at < n) {
			const struct dirent64 *d = (const void *)(buf + at);
			pid_t pid = parse_pid(d->d_name);
			int r = pid > 0 ? add_process(s, &size, pid) : 0;

			if (r < 0)
				return r;
			at += d->d_reclen;
		}
	}
}

static int compare_pids(const void *a, const void *b)
{
	const struct tree_process *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

struct tree_process *tree_snapshot_find(const struct tree_snapshot *snapshot,
					pid_t pid)
{
	struct tree_process key = { .pid = pid };

	if (snapshot->n_processes == 0)
		return NULL;
	return bsearch(&key, snapshot->processes, snapshot->n_processes,
		       sizeof(key), compare_pids);
}

static struct tree_index *index_free(struct tree_index *index)
{
	if (!index)
		return NULL;
	free(index->parents);
	free(index->belongings);
	free(index->is_read);
	free(index->marks);
	free(index);
	return NULL;
}

static struct tree_index *index_new(const struct tree_snapshot *s)
{
	struct tree_index *index = calloc(1, sizeof(*index));
	size_t n = s->n_processes + 1; /* never 0 */

	if (!index)
		return NULL;
	index->parents = calloc(n, sizeof(*index->parents));
	index->belongings = calloc(n, sizeof(*index->belongings));
	index->is_read = calloc(n, sizeof(*index->is_read));
	index->marks = calloc(n, sizeof(*index->marks));
	if (!index->parents || !index->belongings || !index->is_read ||
	    !index->marks)
		return index_free(index);
	for (size_t i = 0; i < s->n_processes; i++) {
		const struct tree_process *parent =
			tree_snapshot_find(s, s->processes[i].ppid);

		index->parents[i] =
			parent ? (size_t)(parent - s->processes) : NO_PARENT;
	}
	return index;
}

int tree_snapshot_index(struct tree_snapshot *snapshot)
{
	if (snapshot->n_processes > 0)
		qsort(snapshot->processes, snapshot->n_processes,
		      sizeof(*snapshot->processes), compare_pids);
	snapshot->index = index_new(snapshot);
	return snapshot->index ? 0 : -ENOMEM;
}

int tree_snapshot_take(struct tree_snapshot *ret_snapshot)
{
	struct tree_snapshot s = { 0 };
	int r = read_processes(&s);

	if (r == 0)
		r = tree_snapshot_index(&s);
	if (r < 0) {
		tree_snapshot_done(&s);
		return r;
	}
	*ret_snapshot = s;
	return 0;
}

void tree_snapshot_done(struct tree_snapshot *snapshot)
{
	free(TAKE(snapshot->processes));
	snapshot->n_processes = 0;
	snapshot->index = index_free(snapshot->index);
}

/* --- members ------------------------------------------------------------- */

static bool is_seed(const struct tree_process *p, pid_t leader)
{
	return leader > 1 &&
	       (p->pid == leader || p->pgrp == leader || p->session == leader);
}

/* Walks up from i to whoever is decided already, and decides all on the way
 * alike. Pids that were recycled during the look may close a circle: nobody. */
static void decide(struct tree_index *index, size_t i)
{
	unsigned char *b = index->belongings;
	unsigned char verdict = NO;
	size_t j;

	for (j = i; j != NO_PARENT && b[j] == UNKNOWN; j = index->parents[j])
		b[j] = ON_PATH;
	if (j != NO_PARENT && b[j] == YES)
		verdict = YES;
	for (j = i; j != NO_PARENT && b[j] == ON_PATH; j = index->parents[j])
		b[j] = verdict;
}

static bool has_mark(const struct tree_snapshot *s, size_t i,
		     const struct tree_id *id)
{
	struct tree_index *index = s->index;
	size_t size = sizeof(index->marks[i]);

	if (strcmp(index->mark_name, id->mark_name) != 0) {
		memset(index->is_read, 0, s->n_processes);
		(void)snprintf(index->mark_name, sizeof(index->mark_name), "%s",
			       id->mark_name);
	}
	if (!index->is_read[i]) {
		if (tree_environment(s->processes[i].pid, id->mark_name,
				     index->marks[i], size) < 0)
			index->marks[i][0] = '\0';
		index->is_read[i] = true;
	}
	return index->marks[i][0] && strcmp(index->marks[i], id->mark) == 0;
}

/* Init and the caller never belong, nor does anything through them; but what
 * descends from the leader does, when that is the caller. */
static bool is_fence(const struct tree_process *p, const struct tree_id *id)
{
	return p->pid == 1 || (p->pid == getpid() && p->pid != id->leader);
}

static void decide_all(const struct tree_snapshot *s)
{
	for (size_t i = 0; i < s->n_processes; i++)
		decide(s->index, i);
}

static void seed(const struct tree_snapshot *s, const struct tree_id *id)
{
	for (size_t i = 0; i < s->n_processes; i++) {
		const struct tree_process *p = &s->processes[i];
		unsigned char *b = &s->index->belongings[i];

		*b = is_fence(p, id)	      ? NO
		     : is_seed(p, id->leader) ? YES
					      : UNKNOWN;
	}
}

static void seed_marked(const struct tree_snapshot *s, const struct tree_id *id)
{
	for (size_t i = 0; i < s->n_processes; i++) {
		const struct tree_process *p = &s->processes[i];
		unsigned char *b = &s->index->belongings[i];

		if (*b == YES || is_fence(p, id))
			continue;
		*b = !procstat_is_dead(p) && has_mark(s, i, id) ? YES : UNKNOWN;
	}
}

size_t tree_members(const struct tree_snapshot *snapshot,
		    const struct tree_id *id, bool *member)
{
	pid_t self = getpid();
	size_t n = 0;

	seed(snapshot, id);
	decide_all(snapshot);
	if (id->mark && id->mark[0] && id->mark_name) {
		seed_marked(snapshot, id);
		decide_all(snapshot);
	}
	for (size_t i = 0; i < snapshot->n_processes; i++) {
		const struct tree_process *p = &snapshot->processes[i];

		member[i] = snapshot->index->belongings[i] == YES &&
			    !procstat_is_dead(p) && p->pid != self;
		n += member[i];
	}
	return n;
}

/* --- single questions ---------------------------------------------------- */

static int add_children(const char *thread, pid_t **pids, size_t *n)
{
	_cleanup_(free_pointer) char *text = NULL;
	char path[64], *p, *end;
	pid_t *larger;
	size_t len;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%.16s/children",
		       thread);
	r = fd_read_file(AT_FDCWD, path, CHILDREN_FILE_MAX, &text, &len);
	if (r < 0)
		return r;
	larger = reallocarray(*pids, *n + len / 2 + 1, sizeof(**pids));
	if (!larger)
		return -ENOMEM;
	*pids = larger;
	for (p = text;; p = end) {
		long pid = strtol(p, &end, 10);

		if (end == p)
			return 0;
		(*pids)[(*n)++] = (pid_t)pid;
	}
}

/* A child belongs to the thread that made or inherited it. */
int tree_children(pid_t **ret_pids)
{
	_cleanup_(free_pointer) pid_t *pids = NULL;
	DIR *tasks = opendir("/proc/self/task");
	size_t n = 0;
	int r = 0;

	if (!tasks)
		return -errno;
	for (const struct dirent *d; r == 0 && (d = readdir(tasks));) {
		if (d->d_name[0] != '.')
			r = add_children(d->d_name, &pids, &n);
		if (r == -ESRCH || (r == -ENOENT && getpid() != gettid()))
			r = 0; /* a thread that has ended */
	}
	(void)closedir(tasks);
	if (r < 0)
		return r;
	*ret_pids = TAKE(pids);
	return (int)n;
}

static bool carries_mark(const struct tree_id *id, pid_t pid)
{
	char value[TREE_MARK_LEN + 1];

	return id->mark && id->mark[0] && id->mark_name &&
	       tree_environment(pid, id->mark_name, value, sizeof(value)) ==
		       0 &&
	       strcmp(value, id->mark) == 0;
}

int tree_has_pid(const struct tree_id *id, pid_t pid)
{
	pid_t self = getpid();

	for (int i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
		struct tree_process p;
		int r = procstat_read(pid, &p);

		if (pid == self)
			return i > 0 && id->leader == self;
		if (r < 0) /* the process itself, or an ancestor, is gone */
			return i == 0 || r != -ESRCH ? r : 0;
		if (is_seed(&p, id->leader) || carries_mark(id, pid))
			return 1;
		pid = p.ppid;
	}
	return 0;
}
