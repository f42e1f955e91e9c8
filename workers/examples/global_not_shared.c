/* A global that two processes change, and that stays as it was in the program
 * that started them. Shows that processes share no memory: each works on a copy
 * made when it was started. What is to come back goes through an exit code, a
 * pipe, or (for more) a pool's results.
 */
#include <stdio.h>

#include <reeve/process.h>

static int number = 10;

static int add(void *arg)
{
	number += *(const int *)arg;
	printf("%s: number is %d\n", reeve_process_current_name(), number);
	return number;
}

int main(void)
{
	int amounts[] = { 5, 10 };
	const char *names[] = { "first", "second" };

	for (int i = 0; i < 2; i++) {
		struct reeve_process_spec spec = {
			.name = names[i],
			.function = add,
			.arg = &amounts[i],
		};
		reeve_process *process;
		int code = 0;

		if (reeve_process_start(&spec, &process) < 0)
			return 1;
		/* Joined at once, so that the lines come in order. */
		(void)reeve_process_join(process, REEVE_FOREVER);
		if (reeve_process_exitcode(process, &code) == 1)
			printf("%s ended with %d\n", names[i], code);
		(void)reeve_process_free(process);
	}
	printf("%s: number is %d\n", reeve_process_current_name(), number);
	return 0;
}
