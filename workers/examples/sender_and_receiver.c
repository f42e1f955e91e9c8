/* Two processes with an end of a pipe each: one sends words and prints what comes
 * back, the other sends back what begins with ECHO, until END comes. Shows that a
 * message arrives as it was sent, both ways, and how an end is given to a process.
 */
#include <stdio.h>
#include <string.h>

#include <reeve/pipe.h>
#include <reeve/process.h>

static const char *const words[] = { "ECHO hello", "silence", "ECHO goodbye",
				     "END" };

static int send_words(void *arg)
{
	char answer[64] = "";

	for (int i = 0; i < 4; i++) {
		if (reeve_connection_send(arg, words[i], strlen(words[i]) + 1,
					  REEVE_FOREVER) < 0)
			return 1;
		if (strncmp(words[i], "ECHO", 4) != 0)
			continue;
		if (reeve_connection_recv(arg, answer, sizeof(answer),
					  REEVE_FOREVER, NULL) < 0)
			return 1;
		printf("sender: %s\n", answer);
	}
	return 0;
}

static int receive_words(void *arg)
{
	char word[64] = "";
	size_t size;

	while (strcmp(word, "END") != 0) {
		if (reeve_connection_recv(arg, word, sizeof(word),
					  REEVE_FOREVER, &size) < 0)
			return 1; /* -EPIPE: the sender is gone */
		printf("receiver: %s\n", word);
		if (strncmp(word, "ECHO", 4) == 0 &&
		    reeve_connection_send(arg, word, size, REEVE_FOREVER) < 0)
			return 1;
	}
	return 0;
}

int main(void)
{
	int (*const functions[])(void *) = { send_words, receive_words };
	reeve_process *processes[2] = { NULL, NULL };
	reeve_connection *ends[2];
	int status = 0;

	if (reeve_pipe_new(true, ends) < 0)
		return 1;
	for (int i = 0; i < 2; i++) {
		/* Its own end, by the same number, and not the other's: so each
		 * sees it when the other one dies. */
		int fd = reeve_connection_fd(ends[i]);
		struct reeve_fd fds[] = { { fd, fd } };
		struct reeve_process_spec spec = {
			.function = functions[i],
			.arg = ends[i],
			.fds = fds,
			.n_fds = 1,
		};

		if (reeve_process_start(&spec, &processes[i]) < 0)
			status = 1;
		(void)reeve_connection_free(ends[i]);
	}
	for (int i = 0; i < 2; i++) {
		if (reeve_process_join(processes[i], REEVE_FOREVER) < 0)
			status = 1;
		(void)reeve_process_free(processes[i]);
	}
	return status;
}
