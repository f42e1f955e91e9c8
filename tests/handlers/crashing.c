/* One that cannot be loaded while a certain file is there: it crashes, or hangs. */
#include <stdlib.h>
#include <unistd.h>

#include <reeve/pool.h>

int nothing(void *input, size_t size, struct reeve_reply *reply);

int nothing(void *input, size_t size, struct reeve_reply *reply)
{
	(void)input, (void)size, (void)reply;
	return 0;
}

__attribute__((constructor)) static void begin(void)
{
	const char *file = getenv("REEVE_TEST_CRASH");

	if (file && access(file, F_OK) == 0)
		abort();
	file = getenv("REEVE_TEST_HANG");
	while (file && access(file, F_OK) == 0)
		pause();
}
