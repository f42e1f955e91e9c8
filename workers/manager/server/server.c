/* The loop.
 *
 * One turn: look what has come, run it, let those go on who had more than fits into
 * a turn, end what is over, then send all that there is to send. Before it sleeps it
 * looks again for a short while (spin.h): a client that gets its answer soon asks
 * again soon, and a sleep and its wake-up cost more than all the rest.
 */
#include "workers/manager/server/server.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"
#include "workers/manager/codec.h"
#include "workers/manager/frame.h"
#include "workers/manager/server/server_room.h"

#define EVENTS 64

int server_watch(struct server *s, int fd, uint32_t events, void *what)
{
	struct epoll_event e = { .events = events, .data.ptr = what };

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

void server_count(struct server *s)
{
	store_set_counter(s->store, "clients", s->n_served);
	store_set_counter(s->store, "connections", s->n_connections);
	store_set_counter(s->store, "refused", s->n_refused);
	store_set_counter(s->store, "restarts", (int64_t)s->config->generation);
	store_set_counter(s->store, "pid", getpid());
	store_set_counter(s->store, "snapshots", s->snapshot.n_written);
	store_set_counter(s->store, "snapshots failed", s->snapshot.n_failed);
}

/* ---- waiting ------------------------------------------------------------------------- */

static uint64_t next_usec(const struct server *s)
{
	const struct heap_node *node = heap_first(&s->deadlines);
	uint64_t next = store_next_usec(s->store);

	next = MIN(next, s->snapshot.due_usec);
	if (node)
		next = MIN(next, node->key);
	if (s->resume_usec)
		next = MIN(next, s->resume_usec);
	return next;
}

static int sleep_msec(const struct server *s)
{
	uint64_t next = next_usec(s);
	uint64_t msec;

	if (!TAILQ_EMPTY(&s->pending))
		return 0;
	if (next == USEC_INFINITY)
		return -1;
	msec = (usec_sub(next, clock_monotonic_usec()) + USEC_PER_MSEC - 1) /
	       USEC_PER_MSEC;
	return (int)MIN(msec, (uint64_t)INT32_MAX);
}

/* Looks for as long as s->spin says. */
static int look_for_a_while(struct server *s, struct epoll_event *events)
{
	uint64_t now;
	int n = 0;

	if (!spin_begin(&s->spin, &now))
		return 0;
	while (n == 0 && spin_go_on(&s->spin, &now))
		n = epoll_wait(s->epoll_fd, events, EVENTS, 0);
	if (n > 0)
		spin_found(&s->spin);
	return n;
}

static int wait_for_events(struct server *s, struct epoll_event *events)
{
	int msec = sleep_msec(s);
	int n = epoll_wait(s->epoll_fd, events, EVENTS, 0);

	if (n == 0 && msec != 0)
		n = look_for_a_while(s, events);
	if (n == 0 && msec != 0) {
		n = epoll_wait(s->epoll_fd, events, EVENTS, msec);
		spin_slept(&s->spin);
	}
	s->now_usec = clock_monotonic_usec();
	return n < 0 && errno == EINTR ? 0 : n;
}

/* ---- a turn ----------------------------------------------------------------------------- */

static void on_signal(struct server *s)
{
	struct signalfd_siginfo info;

	if (read(s->signal_fd, &info, sizeof(info)) == sizeof(info))
		s->is_stopping = true;
}

static void on_event(struct server *s, const struct epoll_event *e)
{
	uintptr_t what = (uintptr_t)e->data.ptr;

	switch (what) {
	case WATCH_LISTENER:
		listener_on_event(s);
		break;
	case WATCH_SIGNALS:
		on_signal(s);
		break;
	case WATCH_SNAPSHOT:
		snapshot_on_end(&s->snapshot, s->now_usec);
		server_count(s);
		break;
	default:
		peer_on_event(e->data.ptr, e->events);
	}
}

/* Those that come back to the list have their turn in the next one. */
static void run_pending(struct server *s)
{
	struct peer *last = TAILQ_LAST(&s->pending, peers), *p = NULL;

	while (p != last && (p = TAILQ_FIRST(&s->pending))) {
		TAILQ_REMOVE(&s->pending, p, in_pending);
		p->is_pending = false;
		peer_go_on(p);
	}
}

static void end_late(struct server *s)
{
	struct heap_node *node;

	while ((node = heap_first(&s->deadlines)) && node->key <= s->now_usec)
		peer_on_time(container_of(node, struct peer, deadline));
	if (s->resume_usec && s->resume_usec <= s->now_usec)
		listener_on_time(s);
	if (store_next_usec(s->store) <= s->now_usec)
		store_tick(s->store, s->now_usec);
}

static void look_at_snapshot(struct server *s)
{
	if (snapshot_look(&s->snapshot, s->store, s->now_usec) == 0)
		return;
	if (server_watch(s, s->snapshot.pidfd, EPOLLIN,
			 watch_pointer(WATCH_SNAPSHOT)) < 0)
		snapshot_on_end(&s->snapshot, s->now_usec); /* waits for it */
}

/* To send may end a session, and so give others something to send. */
static void flush_all(struct server *s)
{
	struct session *session;

	while ((session = store_take_ready(s->store)))
		peer_flush(session_userdata(session));
}

static void free_gone(struct server *s)
{
	struct peer *p;

	if (TAILQ_EMPTY(&s->gone))
		return;
	while ((p = TAILQ_FIRST(&s->gone)))
		(void)peer_free(p);
	server_count(s);
}

static int turn(struct server *s)
{
	struct epoll_event events[EVENTS];
	int n = wait_for_events(s, events);

	if (n < 0)
		return -errno;
	run_pending(s);
	for (int i = 0; i < n; i++)
		on_event(s, &events[i]);
	end_late(s);
	flush_all(s);
	look_at_snapshot(s);
	free_gone(s);
	return 0;
}

/* ---- the beginning ------------------------------------------------------------------------ */

/* As many descriptors as may be. */
static void raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int watch_signals(struct server *s)
{
	sigset_t term;

	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	s->signal_fd = signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		return -errno;
	return server_watch(s, s->signal_fd, EPOLLIN,
			    watch_pointer(WATCH_SIGNALS));
}

static int make_store(struct server *s)
{
	const struct server_config *c = s->config;
	const struct store_limits limits = {
		.max_objects = c->max_objects,
		.max_bytes = c->max_bytes,
		.max_handles = SERVER_HANDLES_MAX,
		.max_waiting = SERVER_WAITING_MAX,
		.max_output_bytes = MAX(c->max_output_bytes, SERVER_OUTPUT_MIN),
	};

	return store_new(&limits, &s->store);
}

static int begin(struct server *s, struct server_report *report)
{
	int r = auth_random(s->instance, sizeof(s->instance));

	if (r == 0)
		r = make_store(s);
	if (r < 0)
		return r;
	r = snapshot_load(&s->snapshot, s->store, report->reason,
			  sizeof(report->reason));
	if (r < 0) {
		report->is_final = r != -ENOMEM && r != -EMFILE &&
				   r != -ENFILE && r != -EBUSY;
		return r;
	}
	s->is_restored = r > 0;
	raise_limits();
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	r = s->epoll_fd < 0 ? -errno : watch_signals(s);
	if (r == 0)
		r = listener_begin(s);
	if (r == 0)
		server_count(s);
	return r;
}

static int report(const struct server *s, struct server_report *report, int r)
{
	report->error = r;
	if (r < 0 && report->reason[0] == '\0')
		(void)snprintf(report->reason, sizeof(report->reason),
			       "cannot start the server: %s", strerror(-r));
	(void)fd_write_all(s->config->report_fd, report, sizeof(*report));
	fd_close(s->config->report_fd);
	return r;
}

/* ---- the end -------------------------------------------------------------------------------- */

/* The last answer of all: id 0. What is not sent at once is not. */
static void say_bye(struct server *s)
{
	struct peer *p;

	while ((p = TAILQ_FIRST(&s->served))) {
		struct buf *b = session_output(p->session);
		ssize_t begun = frame_begin(b);

		(void)codec_put_int(b, 0);
		(void)codec_put_int(b, -ESHUTDOWN);
		if (begun >= 0 && frame_end(b, (size_t)begun, FRAME_MAX) == 0)
			peer_flush(p);
		peer_end(p);
	}
}

/* As it was told. Returns the exit code. */
static int finish(struct server *s)
{
	int r;

	say_bye(s);
	r = snapshot_finish(&s->snapshot, s->store);
	return r < 0 ? MIN(KEEPER_EXIT_UNSAVED - r, KEEPER_EXIT_END - 1)
		     : KEEPER_EXIT_OK;
}

static void end(struct server *s)
{
	struct peer *p;

	while ((p = TAILQ_FIRST(&s->fresh)))
		peer_end(p);
	while ((p = TAILQ_FIRST(&s->served)))
		peer_end(p);
	while ((p = TAILQ_FIRST(&s->gone)))
		(void)peer_free(p);
	heap_done(&s->deadlines);
	s->store = store_free(s->store);
	fd_close(s->epoll_fd);
	fd_close(s->signal_fd);
	fd_close(s->reserve_fd);
	auth_done(&s->auth);
}

static void init(struct server *s, const struct server_config *config)
{
	s->config = config;
	s->epoll_fd = s->signal_fd = s->reserve_fd = -1;
	s->handshake_usec = config->handshake_usec > 0 ? config->handshake_usec
						       : SERVER_HANDSHAKE_USEC;
	s->frame_usec =
		config->frame_usec > 0 ? config->frame_usec : SERVER_FRAME_USEC;
	TAILQ_INIT(&s->fresh);
	TAILQ_INIT(&s->served);
	TAILQ_INIT(&s->gone);
	TAILQ_INIT(&s->pending);
	auth_init(&s->auth, config->authkey, config->authkey_size);
	snapshot_init(&s->snapshot, config->snapshot,
		      config->snapshot_interval_usec, config->lock_fd);
	spin_init(&s->spin, SERVER_SPIN_USEC);
}

int server_run(const struct server_config *config)
{
	struct server_report said = { 0 };
	struct server *s = calloc(1, sizeof(*s));
	int r, code;

	if (!s)
		return KEEPER_EXIT_FAILED;
	init(s, config);
	r = report(s, &said, begin(s, &said));
	while (r == 0 && !s->is_stopping)
		r = turn(s);
	code = r < 0 ? KEEPER_EXIT_FAILED : finish(s);
	end(s);
	free(s);
	return code;
}
