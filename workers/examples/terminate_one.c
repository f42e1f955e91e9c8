/* Three processes: one does its work, one fails, and one would run for ever and
 * is terminated. Shows is_alive, terminate, and exit codes, which are
 * multiprocessing's: 0, N that the process chose, -N for death by signal N.
 *
 * The third is a program; it is started like a function, from its words.
 */
#include <stdio.h>

#include <reeve/process.h>

#define TIMEOUT_USEC UINT64_C(5000000)

static int succeed(void *arg)
{
	(void)arg;
	return 0;
}

static int fail(void *arg)
{
	(void)arg;
	return 1;
}

int main(void)
{
	char sleep_[] = "sleep", seconds[] = "1000";
	char *const forever[] = { sleep_, seconds, NULL };
	const struct reeve_process_spec specs[] = {
		{ .name = "good", .function = succeed },
		{ .name = "bad", .function = fail },
		{ .name = "endless", .argv = forever },
	};
	reeve_process *processes[3] = { NULL };
	int status = 0;

	for (int i = 0; i < 3; i++) {
		char why[256];
		struct reeve_process_spec spec = specs[i];

		spec.error = why;
		spec.error_size_bytes = sizeof(why);
		if (reeve_process_start(&spec, &processes[i]) < 0) {
			fprintf(stderr, "%s: %s\n", spec.name, why);
			status = 1;
		}
	}
	if (reeve_process_join(processes[2], 10000) < 0)
		printf("endless is alive: %s\n",
		       reeve_process_is_alive(processes[2]) == 1 ? "yes"
								 : "no");
	(void)reeve_process_terminate(processes[2]);
	for (int i = 0; i < 3; i++) {
		struct reeve_exit end;

		if (reeve_process_join(processes[i], TIMEOUT_USEC) < 0 ||
		    reeve_process_exit(processes[i], &end) != 1)
			status = 1;
		else
			printf("%s: %d\n", specs[i].name, end.code);
		(void)reeve_process_free(processes[i]);
	}
	return status;
}
