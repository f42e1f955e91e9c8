/* Handlers as a plugin has them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reeve/pool.h>

static long factor = 1;

extern long not_a_function;
long not_a_function = 7;

int prepare(void *argument, size_t size);
int refuse(void *argument, size_t size);
int multiply(void *input, size_t size, struct reeve_reply *reply);
int repeat(void *input, size_t size, struct reeve_reply *reply);
int fail(void *input, size_t size, struct reeve_reply *reply);
int crash(void *input, size_t size, struct reeve_reply *reply);

int prepare(void *argument, size_t size)
{
	memcpy(&factor, argument, size);
	return 0;
}

int refuse(void *argument, size_t size)
{
	(void)argument, (void)size;
	return -EACCES;
}

int multiply(void *input, size_t size, struct reeve_reply *reply)
{
	long x;

	memcpy(&x, input, sizeof(x));
	x *= factor;
	return reeve_reply_set(reply, &x, size);
}

/* More than lies in the slot: it needs the library behind the reply. */
int repeat(void *input, size_t size, struct reeve_reply *reply)
{
	char *p = reeve_reply_reserve(reply, 1000);

	if (!p || size < 1)
		return -EMSGSIZE;
	memset(p, *(char *)input, 1000);
	return 0;
}

int fail(void *input, size_t size, struct reeve_reply *reply)
{
	return reeve_reply_error(reply, -EIO, "failed on %.*s", (int)size,
				 (char *)input);
}

int crash(void *input, size_t size, struct reeve_reply *reply)
{
	(void)input, (void)size, (void)reply;
	abort();
}
