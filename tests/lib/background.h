/* Command lines of `reeve` that run beside the test, several at a time. What
 * each writes goes to files of its own in the rig's directory.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct rig;

struct background {
	pid_t pid;
	char out[256], err[256]; /* paths: what it wrote */
};

/* Starts $REEVE with -s of this rig and the words, the last of which is NULL.
 * name is that of its files. */
struct background background_start(struct rig *r, const char *name, ...)
	__attribute__((sentinel));

/* Has it ended? Then *ret_code is its exit code, and it must not be asked
 * again. */
bool background_has_ended(struct background *b, int *ret_code);

/* Waits with the rig's deadline. Returns its exit code, or -N for signal N. */
int background_wait(struct background *b);
