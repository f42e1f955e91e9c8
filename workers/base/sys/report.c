/* Which reports are open: known to every child that is born meanwhile.
 *
 * A child has all descriptors that its parent had, until it executes; one that
 * only runs on, because it was forked, has them for as long as it lives. If
 * another thread was in the middle of a start, that start would wait for this
 * stranger's end, and at last give up what had long been running. So a child
 * closes what it finds here.
 *
 * It is a global, because what a fork copies is the whole process, and whoever
 * forks need not know of us. The list is made of what lies on the stacks of those
 * who start. The lock is held over fork(2), and never while something waits: so
 * what a child finds noted is open, and what is open is noted.
 */
#include "workers/base/sys/report.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

#include "workers/base/sys/fd.h"

static struct {
	pthread_once_t once;
	pthread_mutex_t lock;
	int init_error;
	LIST_HEAD(, report) open;
} reports = { .once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER };

static _Thread_local const struct report *own; /* of this thread */

void report_freeze(void)
{
	(void)pthread_mutex_lock(&reports.lock);
}

void report_thaw(void)
{
	(void)pthread_mutex_unlock(&reports.lock);
}

void report_leave_others(void)
{
	const struct report *r;

	LIST_FOREACH(r, &reports.open, entry)
	{
		if (r != own)
			(void)close(r->write_fd);
	}
}

/* What is its own is closed by who runs the function. */
static void begin_anew(void)
{
	report_leave_others();
	LIST_INIT(&reports.open);
	own = NULL;
	report_thaw();
}

static void init_once(void)
{
	reports.init_error =
		-pthread_atfork(report_freeze, report_thaw, begin_anew);
}

int report_open(struct report *ret_report)
{
	int fds[2], r;

	(void)pthread_once(&reports.once, init_once);
	if (reports.init_error < 0)
		return reports.init_error;
	report_freeze();
	r = pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0;
	if (r == 0) {
		ret_report->read_fd = fd_lift(fds[0]);
		ret_report->write_fd = fd_lift(fds[1]);
		LIST_INSERT_HEAD(&reports.open, ret_report, entry);
		own = ret_report;
	}
	report_thaw();
	return r;
}

void report_close(struct report *report)
{
	report_freeze();
	LIST_REMOVE(report, entry);
	report->write_fd = fd_close(report->write_fd);
	own = NULL;
	report_thaw();
}
