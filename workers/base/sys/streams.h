/* What stdio has buffered, when a process forks to run a function.
 *
 * Parent and child would both write what stands in a buffer. In a program of
 * one thread all streams are flushed before the fork. With more threads only
 * stdout and stderr are, and only while nobody holds them: another thread may
 * sit in getline(stdin) with that stream locked, and fflush(NULL) would wait
 * for it for ever. The child then drops what it has inherited unwritten.
 */
#pragma once

#include <stdbool.h>

/* Before the fork. Returns whether there may be other threads. Blocks as long
 * as writing to what the streams lead to does. */
bool streams_flush(void);

/* In the child, which runs a function: forgets what the parent had read ahead
 * from stdin; and, when drop_output, all output that is buffered. That must
 * not be before the fds of the parent's other streams are closed. */
void streams_forget(bool drop_output);
