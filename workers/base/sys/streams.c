/* Flushing and forgetting; see streams.h.
 *
 * There is no way to drop what is buffered in streams that we do not know by
 * name, but to write it to fds that are closed: glibc then drops it. The child
 * has only the fds that it is meant to have when that is done.
 */
#include "workers/base/sys/streams.h"

#include <stdio.h>
#include <stdio_ext.h>
#include <sys/single_threaded.h>

static void flush_unless_held(FILE *stream)
{
	if (ftrylockfile(stream) != 0)
		return;
	(void)fflush_unlocked(stream);
	funlockfile(stream);
}

bool streams_flush(void)
{
	if (__libc_single_threaded) {
		(void)fflush(NULL);
		return false;
	}
	flush_unless_held(stdout);
	flush_unless_held(stderr);
	return true;
}

void streams_forget(bool drop_output)
{
	__fpurge(stdin);
	clearerr(stdin);
	if (!drop_output)
		return;
	__fpurge(stdout);
	__fpurge(stderr);
	(void)fflush(NULL);
	clearerr(stdout);
	clearerr(stderr);
}
