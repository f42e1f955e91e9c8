/* Two processes, one that prints squares and one that prints cubes, side by
 * side. Shows how a C function becomes a process: fill a spec, start it, join
 * it, free the handle.
 *
 * Each has an argument, as any pointer; since the process is a copy, what it
 * points to is there too.
 */
#include <stdio.h>

#include <reeve/process.h>

struct range {
	int from, to;
};

static int print_squares(void *arg)
{
	const struct range *range = arg;

	for (int i = range->from; i <= range->to; i++)
		printf("%d squared is %d\n", i, i * i);
	return 0;
}

static int print_cubes(void *arg)
{
	const struct range *range = arg;

	for (int i = range->from; i <= range->to; i++)
		printf("%d cubed is %d\n", i, i * i * i);
	return 0;
}

int main(void)
{
	struct range range = { 1, 4 };
	struct reeve_process_spec squares = {
		.name = "squares",
		.function = print_squares,
		.arg = &range,
	};
	struct reeve_process_spec cubes = {
		.name = "cubes",
		.function = print_cubes,
		.arg = &range,
	};
	reeve_process *processes[2] = { NULL, NULL };
	int status = 0;

	/* First start all, then join all: joining the first before the second
	 * is started would run one after the other. */
	if (reeve_process_start(&squares, &processes[0]) < 0 ||
	    reeve_process_start(&cubes, &processes[1]) < 0)
		status = 1;
	for (int i = 0; i < 2; i++)
		if (processes[i] &&
		    reeve_process_join(processes[i], REEVE_FOREVER) < 0)
			status = 1;
	for (int i = 0; i < 2; i++) {
		int code = 1;

		if (processes[i] &&
		    reeve_process_exitcode(processes[i], &code) == 1)
			printf("%s ended with %d\n",
			       reeve_process_name(processes[i]), code);
		(void)reeve_process_free(processes[i]);
	}
	return status;
}
