/* The daemon's place on the machine: directory, lock, pid file, limits.
 *
 * One daemon per runtime directory, by a lock that is held and never by a
 * pid file, which is written for others and never read.
 */
#pragma once

#include <stddef.h>
#include <sys/resource.h>

#include "conf/settings.h"

/* The environment variable by which a later reeved of the same runtime
 * directory knows what an earlier one left. */
#define RUNTIME_INSTANCE_NAME "REEVE_INSTANCE"
#define RUNTIME_INSTANCE_LEN  16

struct runtime {
	char *dir; /* absolute */
	char *log_dir;
	char *control_path; /* dir/control.sock */
	char *notify_path;  /* dir/notify.sock */
	char *pidfile;
	int lock_fd;
	struct rlimit nofile; /* as found: what workers get */
	/* Names this runtime directory in environments and cgroups, so that
	 * leftovers of an earlier reeved are known: 16 hex digits. */
	char instance[RUNTIME_INSTANCE_LEN + 1];
};

/* Makes and locks the directory. option (may be NULL) wins over settings.
 * Returns 0 or -errno, logged: -EWOULDBLOCK when another reeved has it. */
int runtime_open(struct runtime *rt, const char *option,
		 const struct daemon_settings *settings);

/* Writes the pid file, if there is to be one. Logged. */
int runtime_write_pidfile(struct runtime *rt, const char *path);

/* Raises RLIMIT_NOFILE for us and checks that n_needed fds fit. Returns 0 or
 * -EMFILE, logged. */
int runtime_raise_nofile(struct runtime *rt, size_t n_needed);

/* Would n_needed fds fit? Returns 0 or -EMFILE, logged. */
int runtime_check_nofile(const struct runtime *rt, size_t n_needed);

/* Removes what it made and gives the lock back. */
void runtime_close(struct runtime *rt);
