/* A pool in a program's sd-event loop.
 *
 * Properties
 *   One inline function: libreeve itself does not need libsystemd, and
 *   <reeve/reeve.h> does not include this. Compile and link with libsystemd
 *   as well.
 * Operation
 *   reeve_pool_attach_event() once; then the loop calls reeve_pool_dispatch()
 *   whenever there is something to do, and callbacks run from there. Close the
 *   pool in a callback, and leave the loop with sd_event_exit(), as usual.
 * Safety
 *   For CALLER pools, in the thread of the loop. Disable or unref the source
 *   before reeve_pool_free(); sd_event_source_disable_unref() does both.
 */
#ifndef REEVE_SD_EVENT_H
#define REEVE_SD_EVENT_H

#include <stdint.h>
#include <sys/epoll.h>

#include <systemd/sd-event.h>

#include <reeve/pool.h>

REEVE_DECLARATIONS_BEGIN

/* What the loop calls; userdata is the pool. An error disables the source. */
static inline int reeve_pool_on_event(sd_event_source *source, int fd,
				      uint32_t events, void *userdata)
{
	int r = reeve_pool_dispatch((struct reeve_pool *)userdata);

	(void)source;
	(void)fd;
	(void)events;
	return r < 0 && r != -16 ? r : 0; /* EBUSY: another thread does it */
}

/* Adds pool to event. *ret_source, if ret_source is not NULL, is a reference to
 * be given back; without one the source stays until the loop is freed, and so
 * must the pool. Returns 0; -ENOTSUP (a THREAD pool), -ECHILD, -EBUSY, -ENOMEM,
 * what sd_event_add_io() returns. */
static inline int reeve_pool_attach_event(struct reeve_pool *pool,
					  sd_event *event,
					  sd_event_source **ret_source)
{
	int fd = reeve_pool_fd(pool);
	int r;

	if (fd < 0)
		return fd;
	r = sd_event_add_io(event, ret_source, fd, EPOLLIN, reeve_pool_on_event,
			    pool);
	return r < 0 ? r : 0;
}

REEVE_DECLARATIONS_END

#endif
