/* A process that puts numbers into a queue, and one that gets them and adds them
 * up. Shows that a queue passes between processes by being there when they
 * start, that get waits for what comes, and that closing says there is no more.
 */
#include <stdio.h>

#include <reeve/process.h>
#include <reeve/queue.h>

#define NUMBERS 5

static int produce(void *arg)
{
	reeve_queue *queue = arg;

	for (int i = 1; i <= NUMBERS; i++) {
		printf("producer: %d\n", i);
		if (reeve_queue_put(queue, &i, sizeof(i), REEVE_FOREVER) < 0)
			return 1;
	}
	return reeve_queue_close(queue) < 0;
}

static int consume(void *arg)
{
	int number, sum = 0;

	/* -EPIPE: it is closed, and all was got */
	while (reeve_queue_get(arg, &number, sizeof(number), REEVE_FOREVER,
			       NULL) == 0) {
		printf("consumer: %d\n", number);
		sum += number;
	}
	printf("the sum is %d\n", sum);
	return 0;
}

int main(void)
{
	int (*const functions[])(void *) = { produce, consume };
	reeve_process *processes[2] = { NULL, NULL };
	reeve_queue *queue = NULL;
	int status = 0;

	if (reeve_queue_new(NULL, &queue) < 0)
		return 1;
	for (int i = 0; i < 2; i++) {
		struct reeve_process_spec spec = {
			.function = functions[i],
			.arg = queue,
			.keep_fds = true, /* the queue's are among them */
		};

		if (reeve_process_start(&spec, &processes[i]) < 0)
			status = 1;
	}
	/* Without its other side one of them would wait for ever. */
	for (int i = 0; i < 2 && status == 0; i++)
		if (reeve_process_join(processes[i], REEVE_FOREVER) < 0)
			status = 1;
	for (int i = 0; i < 2; i++)
		(void)reeve_process_free(processes[i]);
	(void)reeve_queue_free(queue);
	return status;
}
