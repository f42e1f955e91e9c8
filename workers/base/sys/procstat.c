/* /proc/PID/stat and /proc/PID/environ: three system calls per process, no
 * allocation, so that thousands are read in some milliseconds.
 */
#include "workers/base/sys/procstat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"

/* 52 numbers of at most 20 digits, and a name of at most 64 bytes. */
#define STAT_TEXT_MAX 1280
#define ENVIRON_CHUNK 4096

#define FLAG_KERNEL_THREAD 0x00200000 /* the kernel's PF_KTHREAD */

/* Fields by their number in proc(5); 3, the state, is the first one behind the
 * name and the only one that is not a number. */
enum {
	FIELD_STATE = 3,
	FIELD_PPID = 4,
	FIELD_PGRP = 5,
	FIELD_SESSION = 6,
	FIELD_FLAGS = 9,
	FIELD_N_THREADS = 20,
	FIELD_START = 22
};

/* Advances *text over blanks and one number, which may be negative. */
static int read_number(const char **text, int64_t *ret_number)
{
	const char *p = *text;
	bool is_negative;
	uint64_t n = 0;

	while (*p == ' ')
		p++;
	is_negative = *p == '-';
	p += is_negative;
	if (*p < '0' || *p > '9')
		return -EBADMSG;
	for (; *p >= '0' && *p <= '9'; p++)
		n = n * 10 + (uint64_t)(*p - '0'); /* wraps: no field we use */
	*text = p;
	*ret_number = (int64_t)(is_negative ? -n : n);
	return 0;
}

int procstat_parse(const char *text, struct tree_process *ret_process)
{
	int64_t field[FIELD_START + 1] = { 0 }, pid;
	const char *p = strrchr(text, ')'); /* none in what follows the name */

	if (!p || p[1] != ' ' || p[2] == '\0')
		return -EBADMSG;
	if (read_number(&text, &pid) < 0)
		return -EBADMSG;
	field[FIELD_STATE] = p[2];
	p += 3;
	for (int i = FIELD_PPID; i <= FIELD_START; i++)
		if (read_number(&p, &field[i]) < 0)
			return -EBADMSG;
	*ret_process = (struct tree_process){
		.pid = (pid_t)pid,
		.ppid = (pid_t)field[FIELD_PPID],
		.pgrp = (pid_t)field[FIELD_PGRP],
		.session = (pid_t)field[FIELD_SESSION],
		.start_ticks = (uint64_t)field[FIELD_START],
		.state = (char)field[FIELD_STATE],
		.is_kernel = field[FIELD_FLAGS] & FLAG_KERNEL_THREAD,
		.n_threads = (int)field[FIELD_N_THREADS],
	};
	return 0;
}

/* Opens a file of /proc/PID. A process that is gone is -ESRCH. */
static int open_proc_file(pid_t pid, const char *name)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return fd;
}

int procstat_read(pid_t pid, struct tree_process *ret_process)
{
	char text[STAT_TEXT_MAX];
	int fd = open_proc_file(pid, "stat");
	ssize_t n;
	int r;

	if (fd < 0)
		return fd;
	n = read(fd, text, sizeof(text) - 1);
	r = n < 0 ? -errno : 0;
	fd_close(fd);
	if (r < 0)
		return r;
	text[n] = '\0';
	return procstat_parse(text, ret_process);
}

bool procstat_is_dead(const struct tree_process *process)
{
	return process->state == 'X' ||
	       (process->state == 'Z' && process->n_threads <= 1);
}

/* --- environment --------------------------------------------------------- */

/* Looks for "name=" at the beginning of each string; the strings arrive in
 * chunks that may end anywhere. */
struct search {
	const char *name;
	size_t name_len;
	size_t n_matched; /* of "name="; name_len + 1: this is its value */
	bool is_skipping; /* another variable, up to its NUL */
	char *buf;
	size_t size_bytes, len;
};

/* Takes one byte. Returns 1 when the value is complete, 0 to go on. */
static int take_byte(struct search *s, char c)
{
	if (s->n_matched > s->name_len) {
		if (c == '\0')
			return 1;
		if (s->len + 1 >= s->size_bytes)
			return -ENOSPC;
		s->buf[s->len++] = c;
		return 0;
	}
	if (c == (s->n_matched < s->name_len ? s->name[s->n_matched] : '=')) {
		s->n_matched++;
		return 0;
	}
	s->n_matched = 0;
	s->is_skipping = c != '\0';
	return 0;
}

static int take_chunk(struct search *s, const char *p, const char *end)
{
	while (p < end) {
		int r;

		if (s->is_skipping) {
			p = memchr(p, '\0', (size_t)(end - p));
			if (!p)
				return 0;
			s->is_skipping = false;
			p++;
			continue;
		}
		r = take_byte(s, *p++);
		if (r != 0)
			return r;
	}
	return 0;
}

int tree_environment(pid_t pid, const char *name, char *buf, size_t size_bytes)
{
	_cleanup_(fd_closep) int fd = open_proc_file(pid, "environ");
	struct search s = {
		.name = name,
		.name_len = strlen(name),
		.buf = buf,
		.size_bytes = size_bytes,
	};
	char chunk[ENVIRON_CHUNK];
	int r = 0;

	if (fd < 0)
		return fd;
	while (r == 0) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		r = take_chunk(&s, chunk, chunk + n);
	}
	if (r < 0)
		return r;
	if (s.n_matched <= s.name_len)
		return -ENOENT;
	buf[s.len] = '\0';
	return 0;
}
