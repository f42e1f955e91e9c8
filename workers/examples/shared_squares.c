/* A process that writes squares into an array and their sum into a value, which
 * the program that started it then reads. Shows memory that is shared instead of
 * copied, and that a plain pointer into it will do.
 */
#include <stdio.h>

#include <reeve/process.h>
#include <reeve/shared.h>

struct shared {
	reeve_array *squares;
	reeve_value *sum;
};

static int write_squares(void *arg)
{
	const struct shared *shared = arg;
	int *squares = reeve_array_data(shared->squares);

	for (int i = 0; i < (int)reeve_array_length(shared->squares); i++) {
		squares[i] = (i + 1) * (i + 1);
		if (reeve_value_add(shared->sum, squares[i], NULL) < 0)
			return 1;
	}
	return 0;
}

int main(void)
{
	struct reeve_array_spec spec = { .type = REEVE_INT, .n_items = 4 };
	struct shared shared = { NULL, NULL };
	struct reeve_process_spec writer = { .function = write_squares,
					     .arg = &shared };
	reeve_process *process = NULL;
	int sum = 0, status = 1;

	if (reeve_array_new(&spec, &shared.squares) == 0 &&
	    reeve_value_new(REEVE_INT, false, &shared.sum) == 0 &&
	    reeve_process_start(&writer, &process) == 0 &&
	    reeve_process_join(process, REEVE_FOREVER) == 0 &&
	    reeve_value_get(shared.sum, &sum) == 0) {
		const int *squares = reeve_array_data(shared.squares);

		for (int i = 0; i < 4; i++)
			printf("%d squared is %d\n", i + 1, squares[i]);
		printf("the sum is %d\n", sum);
		status = 0;
	}
	(void)reeve_process_free(process);
	(void)reeve_value_free(shared.sum);
	(void)reeve_array_free(shared.squares);
	return status;
}
