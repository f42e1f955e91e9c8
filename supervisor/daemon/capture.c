/* See capture.h. Wires a pipe (logpipe.c) to a file (logfile.c) and both to
 * the loop. The pipe outlives the process, so that what a worker wrote last is
 * read after its death; the file is shared by all who name the same path.
 */
#include "supervisor/daemon/capture.h"

#include <stdio.h>

#include "supervisor/daemon/daemon.h"
#include "workers/base/pure/macro.h"
#include "workers/base/sys/log.h"

static void take(void *userdata, const char *data, size_t len)
{
	struct capture *c = userdata;

	logfile_write(c->file, data, len);
}

/* Level-triggered: what the budget left over wakes us again, after others. */
static void on_output(struct watch *watch, uint32_t revents _unused_)
{
	struct capture *c = container_of(watch, struct capture, watch);

	if (logpipe_read(&c->pipe, take, c) < 0)
		hub_unwatch(&c->daemon->hub, &c->watch);
}

void capture_init(struct capture *c, struct daemon *d)
{
	*c = (struct capture){
		.daemon = d,
		.watch = { -1, HUB_BULK, on_output },
		.pipe = LOGPIPE_INIT,
	};
}

static int open_pipe(struct capture *c)
{
	int r = logpipe_open(&c->pipe);

	if (r < 0)
		return r;
	c->watch.fd = c->pipe.read_fd;
	r = hub_watch(&c->daemon->hub, &c->watch, EPOLLIN);
	if (r < 0) {
		c->watch.fd = -1;
		logpipe_close(&c->pipe);
	}
	return r;
}

int capture_open(struct capture *c, const char *path,
		 const struct log_settings *settings, const char **ret_what)
{
	const struct logfile_spec spec = {
		.path = path,
		.maxbytes = settings->maxbytes,
		.backups = settings->backups,
	};
	int r;

	if (!c->file) {
		r = logfile_get(&c->daemon->logs, &spec, &c->file);
		if (r < 0) {
			*ret_what = logfile_error_text(r);
			return r;
		}
	}
	if (c->pipe.read_fd >= 0)
		return 0;
	r = open_pipe(c);
	if (r < 0)
		*ret_what = "no pipe for it";
	return r;
}

void capture_drain(struct capture *c)
{
	if (c->pipe.read_fd >= 0)
		(void)logpipe_drain(&c->pipe, take, c);
}

void capture_done(struct capture *c)
{
	capture_drain(c);
	hub_unwatch(&c->daemon->hub, &c->watch);
	logpipe_close(&c->pipe);
	c->file = logfile_put(c->file);
}
