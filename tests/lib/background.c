/* See background.h. */
#include "tests/lib/background.h"

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/rig.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"

#define WORDS_MAX 32
#define LOOK_MSEC 3

static void redirect(const char *path, int fd)
{
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (file < 0 || dup2(file, fd) < 0)
		_exit(125);
}

struct background background_start(struct rig *r, const char *name, ...)
{
	const char *path = getenv("REEVE");
	const char *words[WORDS_MAX] = { "reeve", "-s", rig_socket(r) };
	struct background b;
	size_t n = 3;
	va_list ap;

	snprintf(b.out, sizeof(b.out), "%s/%s.out", rig_dir(r), name);
	snprintf(b.err, sizeof(b.err), "%s/%s.err", rig_dir(r), name);
	va_start(ap, name);
	while (n < WORDS_MAX - 1 && (words[n] = va_arg(ap, const char *)))
		n++;
	va_end(ap);
	fflush(NULL);
	b.pid = fork();
	ck_assert_int_ge(b.pid, 0);
	if (b.pid > 0)
		return b;
	redirect(b.out, 1);
	redirect(b.err, 2);
	execv(path ? path : "build/reeve", (char *const *)(uintptr_t)words);
	_exit(126);
}

bool background_has_ended(struct background *b, int *ret_code)
{
	int status = 0;

	if (waitpid(b->pid, &status, WNOHANG) == 0)
		return false;
	*ret_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	b->pid = 0;
	return true;
}

int background_wait(struct background *b)
{
	uint64_t end = usec_add(clock_monotonic_usec(),
				RIG_DEADLINE_SEC * USEC_PER_SEC);
	int code = 0;

	while (!background_has_ended(b, &code)) {
		ck_assert_msg(clock_monotonic_usec() < end,
			      "reeve in the background does not end");
		(void)poll(NULL, 0, LOOK_MSEC);
	}
	return code;
}
