/* See process.h. */
#include "tests/lib/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"

/* One look every few milliseconds, at most so often. */
#define LOOK_MSEC   3
#define LOOKS_MAX   3000
#define HELPERS_MAX 8

static FILE *open_proc(pid_t pid, const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return fopen(path, "re");
}

size_t process_count_fds(pid_t pid)
{
	const struct dirent *e;
	char path[64];
	size_t n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		n += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

/* The number behind a word of /proc/PID/status, or 0. */
static long status_number(pid_t pid, const char *word)
{
	FILE *f = open_proc(pid, "status");
	char line[256];
	long number = 0;

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, word, strlen(word)) == 0)
			number = strtol(line + strlen(word), NULL, 10);
	if (f)
		fclose(f);
	return number;
}

long process_anonymous_kb(pid_t pid)
{
	return status_number(pid, "RssAnon:");
}

char process_state(pid_t pid)
{
	FILE *f = open_proc(pid, "stat");
	char line[512] = "";
	const char *end;

	if (f && !fgets(line, sizeof(line), f))
		line[0] = '\0';
	if (f)
		fclose(f);
	end = strrchr(line, ')');
	return end && end[1] == ' ' ? end[2] : '\0';
}

size_t process_children(pid_t pid, pid_t *ret_pids, size_t max)
{
	char name[64];
	size_t n = 0;
	FILE *f;
	int child;

	snprintf(name, sizeof(name), "task/%d/children", (int)pid);
	f = open_proc(pid, name);
	while (f && n < max && fscanf(f, "%d", &child) == 1)
		ret_pids[n++] = child;
	if (f)
		fclose(f);
	return n;
}

static bool runs_same(pid_t a, pid_t b)
{
	char path[64], exe[2][512];

	for (int i = 0; i < 2; i++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/exe", (int)(i ? a : b));
		n = readlink(path, exe[i], sizeof(exe[i]) - 1);
		if (n < 0)
			return false;
		exe[i][n] = '\0';
	}
	return strcmp(exe[0], exe[1]) == 0;
}

size_t process_helpers(pid_t pid, pid_t *ret_pids, size_t max)
{
	size_t n = process_children(pid, ret_pids, max), n_same = 0;

	for (size_t i = 0; i < n; i++)
		if (runs_same(ret_pids[i], pid))
			ret_pids[n_same++] = ret_pids[i];
	return n_same;
}

static bool is_marked(pid_t pid, const char *assignment)
{
	static char text[65536];
	FILE *f = open_proc(pid, "environ");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	bool found = false;

	text[n] = '\0';
	for (const char *p = text; p < text + n && !found; p += strlen(p) + 1)
		found = strcmp(p, assignment) == 0;
	if (f)
		fclose(f);
	return found;
}

size_t process_count_marked(const char *assignment)
{
	DIR *dir = opendir("/proc");
	const struct dirent *e;
	size_t n = 0;

	while (dir && (e = readdir(dir))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		n += pid > 0 && is_marked(pid, assignment);
	}
	if (dir)
		closedir(dir);
	return n;
}

static void exec_strace(pid_t pid, const char *rule)
{
	char inject[256], targets[HELPERS_MAX + 1][16];
	const char *words[2 * HELPERS_MAX + 16] = {
		"strace", "-qq", "-o", "/dev/null", "-e", inject
	};
	pid_t pids[HELPERS_MAX + 1] = { pid };
	size_t n = 1 + process_helpers(pid, pids + 1, HELPERS_MAX), n_words = 6;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	snprintf(inject, sizeof(inject), "inject=%s", rule);
	for (size_t i = 0; i < n; i++) {
		snprintf(targets[i], sizeof(targets[i]), "%d", (int)pids[i]);
		words[n_words++] = "-p";
		words[n_words++] = targets[i];
	}
	dup2(null, 1);
	dup2(null, 2);
	execvp("strace", (char *const *)(uintptr_t)words);
	_exit(127);
}

pid_t inject_begin(pid_t pid, const char *rule)
{
	pid_t strace;

	fflush(NULL);
	strace = fork();
	if (strace == 0)
		exec_strace(pid, rule);
	for (int i = 0; i < LOOKS_MAX && strace > 0; i++) {
		if (status_number(pid, "TracerPid:") == strace)
			return strace;
		if (waitpid(strace, NULL, WNOHANG) == strace)
			break;
		(void)poll(NULL, 0, LOOK_MSEC);
	}
	puts("SKIP: no strace, or no right to use it");
	return 0;
}

void inject_end(pid_t strace)
{
	if (strace <= 0)
		return;
	kill(strace, SIGTERM);
	waitpid(strace, NULL, 0);
}
