/* starts: what the start and the join of one process cost.
 *
 *   starts KIND ROUNDS BALLAST_MB    prints the microseconds of each round
 *   starts nothing                   ends at once: the program that is started
 *
 * Kinds: "function", "program" and "program-shared" (share_memory) are
 * libreeve's; "function-guard" and "program-guard" the same with a guard; "fork"
 * and "vfork" the least that does it: fork, _exit and waitid; vfork, execve and
 * waitid. The ballast is memory of the owner that was written to: what a fork
 * copies the tables of.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <reeve/process.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/clock.h"

#define MB ((size_t)1 << 20)

static char program[] = "/proc/self/exe", nothing[] = "nothing";
static char *const words[] = { program, nothing, NULL };

static int return_zero(_unused_ void *arg)
{
	return 0;
}

static int run_reeve(struct reeve_process_spec spec)
{
	reeve_process *p;
	int code = -1;
	int r = reeve_process_start(&spec, &p);

	if (r < 0)
		return r;
	r = reeve_process_join(p, REEVE_FOREVER);
	if (r == 0)
		r = reeve_process_exitcode(p, &code);
	(void)reeve_process_free(p);
	return r == 1 && code == 0 ? 0 : -EIO;
}

static int run_function(void)
{
	return run_reeve(
		(struct reeve_process_spec){ .function = return_zero });
}

static int run_program(void)
{
	return run_reeve((struct reeve_process_spec){ .argv = words });
}

static int run_program_shared(void)
{
	return run_reeve((struct reeve_process_spec){ .argv = words,
						      .share_memory = true });
}

static int run_function_guard(void)
{
	return run_reeve((struct reeve_process_spec){
		.function = return_zero, .life = REEVE_LIFE_TREE });
}

static int run_program_guard(void)
{
	return run_reeve((struct reeve_process_spec){
		.argv = words, .life = REEVE_LIFE_TREE });
}

static int reap(pid_t pid)
{
	siginfo_t info = { 0 };

	if (pid < 0 || waitid(P_PID, (id_t)pid, &info, WEXITED) < 0)
		return -errno;
	return info.si_status == 0 ? 0 : -EIO;
}

static int run_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return reap(pid);
}

static int run_vfork(void)
{
	/* NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.vfork) */
	pid_t pid = vfork(); /* allowed: it is what ours is compared with */

	if (pid == 0) {
		(void)execve(program, words, environ);
		_exit(127);
	}
	return reap(pid);
}

static const struct kind {
	const char *name;
	int (*run)(void);
} kinds[] = {
	{ "function", run_function },
	{ "program", run_program },
	{ "program-shared", run_program_shared },
	{ "function-guard", run_function_guard },
	{ "program-guard", run_program_guard },
	{ "fork", run_fork },
	{ "vfork", run_vfork },
};

static int measure(const struct kind *kind, long rounds)
{
	for (long i = 0; i < rounds; i++) {
		uint64_t begin = clock_monotonic_usec();
		int r = kind->run();

		if (r < 0) {
			fprintf(stderr, "%s: %s\n", kind->name, strerror(-r));
			return 1;
		}
		printf("%lu\n",
		       (unsigned long)(clock_monotonic_usec() - begin));
	}
	return 0;
}

int main(int argc, char **argv)
{
	size_t ballast;
	char *memory;

	if (argc == 2 && strcmp(argv[1], nothing) == 0)
		return 0;
	if (argc != 4)
		return 2;
	ballast = (size_t)strtoul(argv[3], NULL, 10) * MB;
	memory = malloc(ballast + 1);
	if (!memory)
		return 1;
	memset(memory, 1, ballast + 1);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(argv[1], kinds[i].name) == 0)
			return measure(&kinds[i], strtol(argv[2], NULL, 10));
	return 2;
}
