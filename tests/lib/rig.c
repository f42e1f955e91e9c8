/* See rig.h. */
#include "tests/lib/rig.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-bus.h>

#include "supervisor/core/verbs.h"
#include "workers/base/pure/macro.h"

#define ARGS_MAX 32
#define PATHS	 4

struct rig {
	const char *dir; /* is dir_text */
	char dir_text[64];
	char paths[PATHS][256];
	unsigned next_path;
	int flags;
	pid_t pid; /* 0: not running */
	bool has_cgroup;
	sd_bus *bus;
};

/* ---- small things -------------------------------------------------------- */

static double now_sec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* One look every few milliseconds until the deadline: for what tells nobody
 * that it happens. */
static void pause_for_next_look(void)
{
	(void)poll(NULL, 0, 3);
}

const char *rig_path(struct rig *r, const char *name)
{
	char *p = r->paths[r->next_path++ % PATHS];

	snprintf(p, sizeof(r->paths[0]), "%s/%s", r->dir, name);
	return p;
}

const char *rig_dir(struct rig *r)
{
	return r->dir;
}

const char *rig_socket(struct rig *r)
{
	return rig_path(r, "run/control.sock");
}

pid_t rig_daemon_pid(struct rig *r)
{
	return r->pid;
}

bool rig_uses_cgroup(struct rig *r)
{
	return r->has_cgroup;
}

char *rig_read_file(const char *path)
{
	size_t len = 0, size = 1 << 16;
	char *text = malloc(size);
	FILE *f = fopen(path, "re");

	ck_assert_ptr_nonnull(text);
	for (size_t n;
	     f && (n = fread(text + len, 1, size - len - 1, f)) > 0;) {
		len += n;
		if (len + 1 == size)
			text = realloc(text, size *= 2);
		ck_assert_ptr_nonnull(text);
	}
	if (f)
		fclose(f);
	text[len] = '\0';
	return text;
}

static bool file_has(const char *path, const char *text)
{
	char *have = rig_read_file(path);
	bool found = *have && strstr(have, text);

	free(have);
	return found;
}

void rig_wait_file(const char *path, const char *text)
{
	double end = now_sec() + RIG_DEADLINE_SEC;

	while (!file_has(path, text)) {
		ck_assert_msg(now_sec() < end, "%s never held \"%s\"", path,
			      text);
		pause_for_next_look();
	}
}

bool rig_log_has(struct rig *r, const char *text)
{
	return file_has(rig_path(r, "reeved.log"), text);
}

void rig_wait_log(struct rig *r, const char *text)
{
	rig_wait_file(rig_path(r, "reeved.log"), text);
}

bool rig_is_alive(pid_t pid)
{
	char path[64], *stat;
	const char *state;
	bool alive;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	stat = rig_read_file(path);
	state = strrchr(stat, ')');
	alive = state && state[2] != 'Z' && state[2] != 'X';
	free(stat);
	return alive;
}

void rig_wait_gone(pid_t pid)
{
	double end = now_sec() + RIG_DEADLINE_SEC;

	while (rig_is_alive(pid)) {
		ck_assert_msg(now_sec() < end, "pid %d does not go away",
			      (int)pid);
		pause_for_next_look();
	}
}

/* ---- starting ------------------------------------------------------------- */

_printf_(2, 0) static void write_config(struct rig *r, const char *ini,
					va_list ap)
{
	FILE *f = fopen(rig_path(r, "new.ini"), "we");

	ck_assert_ptr_nonnull(f);
	fprintf(f,
		"[reeve]\nruntime_dir = %s/run\nlog_dir = %s/log\n"
		"loglevel = debug\nlog_format = prefix\n%s",
		r->dir, r->dir,
		r->flags & RIG_NO_CGROUP ? "cgroup = off\n" : "");
	vfprintf(f, ini, ap);
	fclose(f);
	ck_assert_int_eq(
		rename(rig_path(r, "new.ini"), rig_path(r, "reeve.ini")), 0);
}

void rig_write_config(struct rig *r, const char *ini, ...)
{
	va_list ap;

	va_start(ap, ini);
	write_config(r, ini, ap);
	va_end(ap);
}

static const char *program(const char *variable, const char *fallback)
{
	const char *path = getenv(variable);

	return path ? path : fallback;
}

static void exec_reeved(const char *config, const char *log)
{
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
	const char *path = program("REEVED", "build/reeved");

	dup2(fd, 2);
	close(fd);
	unsetenv("NOTIFY_SOCKET");
	execl(path, "reeved", "-c", config, (char *)NULL);
	fprintf(stderr, "cannot execute %s: %s\n", path, strerror(errno));
	_exit(126);
}

static pid_t fork_reeved(struct rig *r)
{
	const char *config = rig_path(r, "reeve.ini");
	const char *log = rig_path(r, "reeved.log");
	pid_t pid;

	fflush(NULL);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		exec_reeved(config, log);
	return pid;
}

/* Waits for reeved; fails when it takes too long. */
static int wait_reeved(struct rig *r)
{
	double end = now_sec() + RIG_DEADLINE_SEC;
	int status = 0;

	while (waitpid(r->pid, &status, WNOHANG) == 0) {
		if (now_sec() > end) {
			kill(r->pid, SIGKILL);
			waitpid(r->pid, &status, 0);
			ck_abort_msg("reeved did not end");
		}
		pause_for_next_look();
	}
	r->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int try_connect(struct rig *r)
{
	char address[300];
	int ret;

	snprintf(address, sizeof(address), "unix:path=%s", rig_socket(r));
	ret = sd_bus_new(&r->bus);
	if (ret >= 0)
		ret = sd_bus_set_address(r->bus, address);
	if (ret >= 0)
		ret = sd_bus_start(r->bus);
	if (ret < 0)
		r->bus = sd_bus_unref(r->bus);
	return ret;
}

static void wait_ready(struct rig *r)
{
	double end = now_sec() + RIG_DEADLINE_SEC;
	int status;

	while (!rig_log_has(r, "ready: ")) {
		if (waitpid(r->pid, &status, WNOHANG) == r->pid) {
			char *log = rig_read_file(rig_path(r, "reeved.log"));

			r->pid = 0;
			ck_abort_msg("reeved ended at start (%#x):\n%s", status,
				     log);
		}
		ck_assert_msg(now_sec() < end, "reeved is never ready");
		pause_for_next_look();
	}
	r->has_cgroup = rig_log_has(r, "trees are ended by cgroup");
	ck_assert_int_ge(try_connect(r), 0);
}

static struct rig *rig_new(int flags)
{
	struct rig *r = calloc(1, sizeof(*r));
	const char *base = getenv("TMPDIR");

	ck_assert_ptr_nonnull(r);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	r->flags = flags;
	r->dir = r->dir_text;
	snprintf(r->dir_text, sizeof(r->dir_text), "%.40s/rig.XXXXXX",
		 base ? base : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(r->dir_text));
	/* workers with user= and clients of other users reach in */
	ck_assert_int_eq(chmod(r->dir, 0755), 0);
	if (base)
		ck_assert_int_eq(chmod(base, 0711), 0);
	ck_assert_int_eq(mkdir(rig_path(r, "log"), 0755), 0);
	return r;
}

struct rig *rig_start(int flags, const char *ini, ...)
{
	struct rig *r = rig_new(flags);
	va_list ap;

	va_start(ap, ini);
	write_config(r, ini, ap);
	va_end(ap);
	r->pid = fork_reeved(r);
	wait_ready(r);
	return r;
}

void rig_restart(struct rig *r)
{
	ck_assert_int_eq(unlink(rig_path(r, "reeved.log")), 0);
	r->pid = fork_reeved(r);
	wait_ready(r);
}

void rig_crash(struct rig *r)
{
	r->bus = sd_bus_close_unref(r->bus);
	ck_assert_int_eq(kill(r->pid, SIGKILL), 0);
	(void)wait_reeved(r);
}

/* ---- ending ---------------------------------------------------------------- */

static void remove_tree(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char child[512];

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(child, sizeof(child), "%s/%s", path, e->d_name);
		if (unlink(child) < 0 && (errno == EISDIR || errno == EPERM))
			remove_tree(child); /* depth: what a test made */
	}
	if (d)
		closedir(d);
	rmdir(path);
}

/* The test process is a subreaper: whatever reeved left is its child now. */
static void check_no_survivors(struct rig *r)
{
	siginfo_t info = { 0 };

	if (r->flags & RIG_KEEP_STRAYS)
		return;
	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid)
		info.si_pid = 0;
	ck_assert_msg(waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0 &&
			      errno == ECHILD,
		      "a process is left behind");
}

static int finish(struct rig *r)
{
	int code;

	r->bus = sd_bus_close_unref(r->bus);
	code = wait_reeved(r);
	check_no_survivors(r);
	ck_assert_int_lt(access(rig_socket(r), F_OK), 0);
	ck_assert_int_lt(access(rig_path(r, "run/notify.sock"), F_OK), 0);
	remove_tree(r->dir);
	free(r);
	return code;
}

int rig_stop(struct rig *r)
{
	ck_assert_int_eq(kill(r->pid, SIGTERM), 0);
	return finish(r);
}

int rig_join(struct rig *r)
{
	return finish(r);
}

int rig_refused(const char *ini, char **ret_stderr)
{
	struct rig *r = rig_new(0);
	int code;

	rig_write_config(r, "%s", ini);
	r->pid = fork_reeved(r);
	code = wait_reeved(r);
	*ret_stderr = rig_read_file(rig_path(r, "reeved.log"));
	check_no_survivors(r);
	remove_tree(r->dir);
	free(r);
	return code;
}

/* ---- asking ---------------------------------------------------------------- */

static void copy_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
}

static int read_row(sd_bus_message *m, struct rig_row *row)
{
	const char *name, *group, *state, *status, *error;
	const void *data;
	const uint64_t *n;
	size_t size;

	if (sd_bus_message_enter_container(m, 'r', "sssatss") <= 0)
		return 0;
	ck_assert_int_gt(sd_bus_message_read(m, "sss", &name, &group, &state),
			 0);
	ck_assert_int_gt(sd_bus_message_read_array(m, 't', &data, &size), 0);
	ck_assert_uint_eq(size, LIST_NUMBER_COUNT * sizeof(*n));
	ck_assert_int_gt(sd_bus_message_read(m, "ss", &status, &error), 0);
	ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
	n = data;
	row->pid = (pid_t)n[LIST_PID];
	row->uptime_usec = n[LIST_UPTIME];
	row->restarts = n[LIST_RESTARTS];
	row->recycles = n[LIST_RECYCLES];
	row->failures = n[LIST_FAILURES];
	row->tasks = n[LIST_TASKS];
	row->flags = (uint32_t)n[LIST_FLAGS];
	row->exit_code = (int)n[LIST_EXIT_CODE];
	copy_text(row->name, sizeof(row->name), name);
	copy_text(row->group, sizeof(row->group), group);
	copy_text(row->state, sizeof(row->state), state);
	copy_text(row->status, sizeof(row->status), status);
	copy_text(row->error, sizeof(row->error), error);
	return 1;
}

static sd_bus_message *call_list(struct rig *r, const char *pattern)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	int ret;

	ret = sd_bus_call_method(r->bus, NULL, REEVE_BUS_PATH,
				 REEVE_BUS_INTERFACE, "List", &error, &reply,
				 "as", 1, pattern);
	ck_assert_msg(ret >= 0, "List %s: %s", pattern,
		      error.message ? error.message : strerror(-ret));
	ck_assert_int_ge(
		sd_bus_message_enter_container(reply, 'a', VERB_LIST_ROW), 0);
	return reply;
}

struct rig_row rig_row(struct rig *r, const char *name)
{
	sd_bus_message *reply = call_list(r, name);
	struct rig_row row = { 0 };

	ck_assert_msg(read_row(reply, &row) > 0, "no row for %s", name);
	sd_bus_message_unref(reply);
	return row;
}

size_t rig_count(struct rig *r, const char *state)
{
	sd_bus_message *reply = call_list(r, "*");
	struct rig_row row = { 0 };
	size_t n = 0;

	while (read_row(reply, &row) > 0)
		n += !*state || strcmp(row.state, state) == 0;
	sd_bus_message_unref(reply);
	return n;
}

pid_t rig_pid(struct rig *r, const char *name)
{
	pid_t pid = rig_row(r, name).pid;

	ck_assert_msg(pid > 0, "%s has no process", name);
	return pid;
}

void rig_wait_row(struct rig *r, const char *name,
		  bool (*holds)(const struct rig_row *row, uint64_t arg),
		  uint64_t arg)
{
	double end = now_sec() + RIG_DEADLINE_SEC;
	struct rig_row row = rig_row(r, name);

	while (!holds(&row, arg)) {
		ck_assert_msg(now_sec() < end,
			      "%s: waited in vain; state %s pid %d restarts "
			      "%d failures %d error \"%s\"",
			      name, row.state, (int)row.pid, (int)row.restarts,
			      (int)row.failures, row.error);
		pause_for_next_look();
		row = rig_row(r, name);
	}
}

bool rig_has_restarts(const struct rig_row *row, uint64_t n)
{
	return row->restarts >= n;
}

bool rig_has_recycles(const struct rig_row *row, uint64_t n)
{
	return row->recycles >= n;
}

static bool has_state(const struct rig_row *row, uint64_t arg)
{
	return strcmp(row->state, (const char *)(uintptr_t)arg) == 0;
}

void rig_wait(struct rig *r, const char *name, const char *state)
{
	rig_wait_row(r, name, has_state, (uint64_t)(uintptr_t)state);
}

static bool is_replaced(const struct rig_row *row, uint64_t arg)
{
	return strcmp(row->state, "RUNNING") == 0 && row->pid > 0 &&
	       row->pid != (pid_t)arg;
}

pid_t rig_wait_replaced(struct rig *r, const char *name, pid_t old)
{
	rig_wait_row(r, name, is_replaced, (uint64_t)old);
	return rig_pid(r, name);
}

/* ---- the CLI --------------------------------------------------------------- */

static void exec_reeve(struct rig *r, va_list ap, const char *out,
		       const char *err)
{
	const char *path = program("REEVE", "build/reeve");
	const char *argv[ARGS_MAX] = { "reeve", "-s", rig_socket(r) };
	int n = 3;

	while (n < ARGS_MAX - 1 && (argv[n] = va_arg(ap, const char *)))
		n++;
	dup2(open(out, O_WRONLY | O_CREAT | O_TRUNC, 0644), 1);
	dup2(open(err, O_WRONLY | O_CREAT | O_TRUNC, 0644), 2);
	execv(path, (char *const *)(uintptr_t)argv);
	_exit(126);
}

int rig_reeve(struct rig *r, char **ret_stdout, char **ret_stderr, ...)
{
	const char *out = rig_path(r, "stdout"), *err = rig_path(r, "stderr");
	double end = now_sec() + RIG_DEADLINE_SEC;
	int status = 0;
	va_list ap;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	va_start(ap, ret_stderr);
	if (pid == 0)
		exec_reeve(r, ap, out, err);
	va_end(ap);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		ck_assert_msg(now_sec() < end, "reeve does not end");
		pause_for_next_look();
	}
	if (ret_stdout)
		*ret_stdout = rig_read_file(out);
	if (ret_stderr)
		*ret_stderr = rig_read_file(err);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
