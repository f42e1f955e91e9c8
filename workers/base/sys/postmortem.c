/* Four small files of /proc/PID. The reader is somebody's only thread (a pool's
 * keeper), so it must not be held up by the process that it looks at:
 *
 *   stat, wchan     take no lock that anybody sleeps with
 *   syscall, stack  wait for exec_update_lock, which an exec holds while it closes
 *                   descriptors, and that can take for ever (NFS, FUSE). The flag
 *                   PF_FORKNOEXEC goes before that: while it is there, there is
 *                   no such exec.
 */
#include "workers/base/sys/postmortem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/fd.h"

#define FILE_TEXT_MAX	 2048
#define FLAG_FORK_NOEXEC 0x40 /* the kernel's PF_FORKNOEXEC */
#define MIB		 1048576.0
#define SYMBOL_BYTES                                                           \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_."

/* --- system calls ------------------------------------------------------------- */

#define CALL(name)                                                             \
	{                                                                      \
		SYS_##name, #name                                              \
	}

/* Those that may wait for something. */
static const struct {
	long number;
	const char *name;
} syscalls[] = {
#ifdef SYS_poll /* older architectures */
	CALL(poll),
	CALL(select),
	CALL(epoll_wait),
	CALL(pause),
	CALL(open),
	CALL(stat),
	CALL(unlink),
	CALL(rename),
#endif
	CALL(read),
	CALL(write),
	CALL(readv),
	CALL(writev),
	CALL(pread64),
	CALL(pwrite64),
	CALL(openat),
	CALL(close),
	CALL(ioctl),
	CALL(flock),
	CALL(fcntl),
	CALL(fsync),
	CALL(fdatasync),
	CALL(sync),
	CALL(futex),
	CALL(nanosleep),
	CALL(clock_nanosleep),
	CALL(ppoll),
	CALL(pselect6),
	CALL(epoll_pwait),
	CALL(wait4),
	CALL(waitid),
	CALL(rt_sigsuspend),
	CALL(rt_sigtimedwait),
	CALL(connect),
	CALL(accept),
	CALL(accept4),
	CALL(sendto),
	CALL(sendmsg),
	CALL(recvfrom),
	CALL(recvmsg),
	CALL(recvmmsg),
	CALL(sendfile),
	CALL(splice),
	CALL(msgrcv),
	CALL(msgsnd),
	CALL(semop),
	CALL(semtimedop),
	CALL(mq_timedreceive),
	CALL(mq_timedsend),
	CALL(io_getevents),
	CALL(io_uring_enter),
	CALL(clone),
	CALL(execve),
	CALL(exit),
	CALL(exit_group),
	CALL(kill),
	CALL(mmap),
	CALL(munmap),
	CALL(mprotect),
	CALL(madvise),
	CALL(newfstatat),
	CALL(unlinkat),
	CALL(renameat2),
	CALL(mkdirat),
	CALL(getdents64),
	CALL(ptrace),
	CALL(sched_yield),
	CALL(restart_syscall)
};

const char *postmortem_syscall_name(long number)
{
	for (size_t i = 0; i < ARRAY_SIZE(syscalls); i++)
		if (syscalls[i].number == number)
			return syscalls[i].name;
	return NULL;
}

/* --- parsing ------------------------------------------------------------------ */

/* Fields by their number in proc(5); the third, the state, is the first one behind
 * the name, and from there on each is one number. */
int postmortem_parse_stat(const char *text, struct postmortem *ret)
{
	enum {
		STATE = 3,
		FLAGS = 9,
		UTIME = 14,
		STIME,
		THREADS = 20,
		RSS = 24
	};
	uint64_t field[RSS + 1] = { 0 };
	const char *p = strrchr(text, ')');
	char *end;

	if (!p || p[1] != ' ' || p[2] == '\0' || p[3] != ' ')
		return -EBADMSG;
	ret->state = p[2];
	p += 3;
	for (int i = STATE + 1; i <= RSS; i++, p = end) {
		field[i] = strtoull(p, &end, 10);
		if (end == p)
			return -EBADMSG;
	}
	ret->has_executed = !(field[FLAGS] & FLAG_FORK_NOEXEC);
	ret->n_threads = (int)field[THREADS];
	ret->cpu_ticks = field[UTIME] + field[STIME];
	ret->resident_pages = field[RSS];
	return 0;
}

/* "0 0x3 0x7f... ...", "-1 0x7ff... ..." (in none), or "running" */
long postmortem_parse_syscall(const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);

	return end == text || number < 0 ? -1 : number;
}

void postmortem_parse_symbol(const char *text, char *ret, size_t size_bytes)
{
	size_t n = MIN(strspn(text, SYMBOL_BYTES), size_bytes - 1);

	memcpy(ret, text, n);
	ret[n] = '\0';
	if (strcmp(ret, "0") == 0) /* in none */
		ret[0] = '\0';
}

/* Lines of "[<0>] do_wait+0x52/0x1a0". */
void postmortem_parse_stack(const char *text, char *ret, size_t size_bytes)
{
	char symbol[POSTMORTEM_SYMBOL_MAX];
	size_t len = 0;

	ret[0] = '\0';
	for (const char *p = text; p; p = strchr(p, '\n')) {
		const char *blank;
		int n;

		p += *p == '\n';
		blank = strchr(p, ' ');
		if (!blank)
			return;
		postmortem_parse_symbol(blank + 1, symbol, sizeof(symbol));
		if (symbol[0] == '\0')
			return;
		n = snprintf(ret + len, size_bytes - len, "%s%s",
			     len > 0 ? " < " : "", symbol);
		if ((size_t)n >= size_bytes - len) {
			ret[len] = '\0'; /* not a part of one */
			return;
		}
		len += (size_t)n;
	}
}

/* --- wording ------------------------------------------------------------------- */

struct line {
	char *text;
	size_t size, len;
};

static _printf_(2, 3) void add(struct line *l, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(l->text + l->len, l->size - l->len, format, ap);
	va_end(ap);
	l->len = MIN(l->len + (size_t)n, l->size - 1);
}

static const char *state_word(char state)
{
	switch (state) {
	case 'R':
		return "running";
	case 'S':
		return "sleeping";
	case 'D':
		return "sleeping uninterruptibly";
	case 'T':
		return "stopped";
	case 't':
		return "stopped by a tracer";
	case 'Z':
	case 'X':
		return "dead";
	default:
		return "in a state of its own";
	}
}

static void add_place(struct line *l, const struct postmortem *p)
{
	const char *name = postmortem_syscall_name(p->syscall);

	if (name)
		add(l, " in %s", name);
	else if (p->syscall >= 0)
		add(l, " in system call %ld", p->syscall);
	if (p->wchan[0])
		add(l, " (wchan %s)", p->wchan);
}

char *postmortem_word(const struct postmortem *p, char *text, size_t size_bytes)
{
	struct line l = { text, size_bytes, 0 };
	double cpu = (double)p->cpu_ticks / (double)sysconf(_SC_CLK_TCK);
	double mib =
		(double)p->resident_pages * (double)sysconf(_SC_PAGESIZE) / MIB;

	text[0] = '\0';
	if (p->state == '\0')
		return text;
	add(&l, "%s", state_word(p->state));
	add_place(&l, p);
	if (p->state == 'R')
		add(&l, ", after %.2f s of CPU time", cpu);
	add(&l, "; %d thread%s, %.1f MiB resident, %.2f s of CPU time",
	    p->n_threads, p->n_threads == 1 ? "" : "s", mib, cpu);
	if (p->stack[0])
		add(&l, "; stack: %s", p->stack);
	return text;
}

int postmortem_gist_len(const char *text)
{
	return (int)strcspn(text, ";");
}

/* --- reading ------------------------------------------------------------------- */

/* text is "" when there is nothing to be read. */
static void read_file(pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];
	ssize_t n = -1;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = read(fd, text, size - 1);
	fd_close(fd);
	text[MAX(n, 0)] = '\0';
}

char *postmortem_describe(pid_t pid, char *text, size_t size_bytes)
{
	struct postmortem p = { .syscall = -1 };
	char file[FILE_TEXT_MAX] = "";

	read_file(pid, "stat", file, sizeof(file));
	if (postmortem_parse_stat(file, &p) < 0)
		p.state = '\0';
	read_file(pid, "wchan", file, sizeof(file));
	postmortem_parse_symbol(file, p.wchan, sizeof(p.wchan));
	if (!p.has_executed) {
		read_file(pid, "syscall", file, sizeof(file));
		p.syscall = postmortem_parse_syscall(file);
		read_file(pid, "stack", file, sizeof(file));
		postmortem_parse_stack(file, p.stack, sizeof(p.stack));
	}
	return postmortem_word(&p, text, size_bytes);
}
