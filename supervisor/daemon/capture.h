/* One output of a worker, captured: a pipe, drained into a rotated file.
 *
 * The pipe lives as long as the worker, not as long as a process: restarts
 * lose nothing, orphans keep writing, and end of file is never waited for
 * (the daemon holds the write end too). Drained always; what the file cannot
 * take is counted and said.
 */
#pragma once

#include "conf/settings.h"
#include "supervisor/daemon/hub.h"
#include "supervisor/daemon/logfile.h"
#include "supervisor/daemon/logpipe.h"

struct daemon;

struct capture {
	struct daemon *daemon;
	struct watch watch;
	struct logpipe pipe;
	struct logfile *file; /* NULL: not captured */
};

void capture_init(struct capture *c, struct daemon *d);

/* Opens file and pipe when that is not done yet. The end to give to a process
 * is .pipe.write_fd. Returns 0, or -errno with *ret_what a sentence. */
int capture_open(struct capture *c, const char *path,
		 const struct log_settings *settings, const char **ret_what);

/* Takes what is in the pipe now: before an exit is told. */
void capture_drain(struct capture *c);

void capture_done(struct capture *c);
