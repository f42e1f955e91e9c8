/* Connecting: the handshake, and doing it again when a connection has ended.
 *
 * A server that is being started again has left its socket with the keeper: who
 * connects waits in its queue. One that is started by others may be away for a
 * while, so a call tries again, ever later, until its time is over. The calls after
 * one that was in vain, or after a server that said goodbye, try once: a program
 * whose server is gone does not spend its time on waiting, and finds one that comes
 * back all the same (a service is ended to be started again).
 */
#include "workers/manager/client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/rng.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/manager/auth.h"

#define DELAY_FIRST_USEC (2 * USEC_PER_MSEC)
#define DELAY_MAX_USEC	 (100 * USEC_PER_MSEC)
/* A try when the last ones were in vain, as a share of what they may take. */
#define LAST_TRY_SHARE 20

/* ---- the handshake --------------------------------------------------------------- */

/* The next message. -ETIMEDOUT, -ECONNRESET, -EPROTO. */
static int get_message(struct wire *w, uint64_t end_usec, struct reader *ret)
{
	const unsigned char *data;
	size_t size;
	int r;

	for (;;) {
		r = wire_next(w, AUTH_FRAME_MAX, &data, &size);
		if (r != 0)
			break;
		wire_send(w);
		r = wire_wait(w, end_usec);
		if (r < 0)
			return r;
		if (r == 0 && clock_monotonic_usec() >= end_usec)
			return -ETIMEDOUT;
	}
	if (r < 0)
		return -EPROTO;
	*ret = (struct reader){ .data = data, .size = size };
	return 0;
}

struct hello {
	int64_t version, generation, pid;
	const void *instance;
	size_t instance_size;
	bool is_restored;
};

static int get_hello(struct wire *w, uint64_t end_usec, struct hello *ret)
{
	struct reader reader;
	int r = get_message(w, end_usec, &reader);

	if (r < 0)
		return r;
	if (codec_get_int(&reader, &ret->version) < 0 ||
	    codec_get_bytes(&reader, &ret->instance, &ret->instance_size) < 0 ||
	    codec_get_int(&reader, &ret->generation) < 0 ||
	    codec_get_bool(&reader, &ret->is_restored) < 0 ||
	    codec_get_int(&reader, &ret->pid) < 0 ||
	    !reader_is_at_end(&reader) || ret->version != PROTOCOL_VERSION ||
	    ret->instance_size != PROTOCOL_INSTANCE || ret->generation < 0)
		return -EPROTO;
	return 0;
}

static int prove(struct reeve_manager *m, struct auth *auth, uint64_t end_usec)
{
	unsigned char number[AUTH_NUMBER];
	struct reader reader;
	int r = get_message(&m->wire, end_usec, &reader);

	if (r == 0)
		r = auth_random(number, sizeof(number));
	if (r == 0)
		r = auth_respond(auth, reader.data, reader.size, number,
				 &m->wire.out);
	if (r == 0)
		r = get_message(&m->wire, end_usec, &reader);
	if (r == 0)
		r = auth_confirm(auth, reader.data, reader.size);
	return r;
}

static int shake_hands(struct reeve_manager *m, uint64_t end_usec,
		       struct hello *ret_hello)
{
	struct auth auth;
	int r;

	auth_init(&auth, m->authkey, m->authkey_size);
	r = prove(m, &auth, end_usec);
	auth_done(&auth);
	return r < 0 ? r : get_hello(&m->wire, end_usec, ret_hello);
}

/* ---- a session ---------------------------------------------------------------------- */

static void begin_session(struct reeve_manager *m, const struct hello *hello)
{
	bool is_same = m->session > 0 && memcmp(m->instance, hello->instance,
						PROTOCOL_INSTANCE) == 0;

	m->quiet = m->is_forked && is_same ? m->session : 0;
	m->is_forked = m->is_given_up = false;
	m->session++;
	if (!is_same)
		m->n_instances++;
	memcpy(m->instance, hello->instance, PROTOCOL_INSTANCE);
	m->generation = (uint64_t)hello->generation;
	m->server_pid = (pid_t)hello->pid;
	m->n_in_flight = 0;
	m->next_answer = m->next_request = ID_FIRST;
	m->is_asking = false;
}

int client_connect(struct reeve_manager *m, uint64_t end_usec)
{
	uint64_t left = end_usec == USEC_INFINITY
				? USEC_INFINITY
				: usec_sub(end_usec, clock_monotonic_usec());
	struct hello hello;
	int fd, r = address_connect(m->address, left, &fd);

	if (r < 0)
		return r;
	client_set_fd(m, fd);
	r = shake_hands(m, end_usec, &hello);
	if (r < 0) {
		client_close_fd(m);
		return r;
	}
	begin_session(m, &hello);
	return 0;
}

/* ---- again ----------------------------------------------------------------------------- */

/* May it be otherwise a little later? */
static bool is_passing(int error)
{
	return error != -EACCES && error != -EPROTO && error != -EUSERS &&
	       error != -ENOMEM && error != -EMFILE && error != -ENFILE;
}

/* About usec; many clients that lost the same server do not come all at once. */
static void pause_for(const struct reeve_manager *m, uint64_t usec)
{
	struct rng rng = { clock_monotonic_usec() ^ (uintptr_t)m };
	uint64_t msec = (usec / 2 + rng_below(&rng, usec)) / USEC_PER_MSEC;

	(void)poll(NULL, 0, (int)MAX(msec, 1u));
}

static int give_up(struct reeve_manager *m, int error)
{
	m->is_over = error == -ESHUTDOWN && m->owner;
	if (!is_passing(error) && error != -EACCES && error != -EPROTO)
		return error;
	m->is_given_up = true; /* or another server is there now */
	return -ESHUTDOWN;
}

/* What is sent into a TCP connection that its server has ended is lost without an
 * error, and whether it was done would not be known: so look first. (A Unix socket
 * says it when that is sent.) */
static bool has_ended(const struct reeve_manager *m)
{
	char byte;
	ssize_t n;

	if (!m->is_tcp || m->n_in_flight > 0 || wire_has_part(&m->wire))
		return false; /* what has come is read first */
	n = recv(m->wire.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

int client_reconnect(struct reeve_manager *m)
{
	uint64_t delay = DELAY_FIRST_USEC, end_usec;
	int r;

	if (m->is_over)
		return -ESHUTDOWN;
	if (m->wire.fd >= 0 && has_ended(m))
		client_close_fd(m);
	if (m->wire.fd >= 0)
		return 0;
	end_usec = usec_add(clock_monotonic_usec(),
			    m->is_given_up ? m->reconnect_usec / LAST_TRY_SHARE
					   : m->reconnect_usec);
	for (;;) {
		r = owner_look(m);
		if (r >= 0) /* whether there is one at the moment, or not */
			r = client_connect(m, end_usec);
		if (r == 0)
			return 0;
		if (r == -ESHUTDOWN || !is_passing(r) || m->is_given_up ||
		    clock_monotonic_usec() + delay >= end_usec)
			return give_up(m, r);
		pause_for(m, delay);
		delay = MIN(2 * delay, DELAY_MAX_USEC);
	}
}

/* A server that dies in the handshake has a successor, perhaps; one that does not
 * like us ends it as well. */
static int first_connect(struct reeve_manager *m, uint64_t timeout_usec)
{
	uint64_t end_usec = usec_add(clock_monotonic_usec(), timeout_usec);
	uint64_t delay = DELAY_FIRST_USEC;
	int r = 0;

	for (int i = 0; i < CLIENT_TRIES_MAX; i++) {
		r = client_connect(m, end_usec);
		if (r != -ECONNRESET ||
		    clock_monotonic_usec() + delay >= end_usec)
			break;
		pause_for(m, delay);
		delay = MIN(2 * delay, DELAY_MAX_USEC);
	}
	return r;
}

int reeve_manager_connect(const char *address, const void *authkey,
			  size_t authkey_size, uint64_t timeout_usec,
			  struct reeve_manager **ret_manager)
{
	struct reeve_manager *m;
	int r;

	if (!ret_manager)
		return -EINVAL;
	r = client_new(address, authkey, authkey_size, &m);
	if (r < 0)
		return r;
	r = first_connect(m, timeout_usec);
	if (r < 0) {
		client_unref(m);
		return r;
	}
	*ret_manager = m;
	return 0;
}

/* What it says of itself means something on its own machine only: over a Unix
 * socket. */
pid_t client_peer(const struct reeve_manager *m)
{
	struct sockaddr_storage a = { 0 };
	socklen_t size = sizeof(a);

	if (m->wire.fd < 0 ||
	    getsockname(m->wire.fd, (struct sockaddr *)&a, &size) < 0 ||
	    a.ss_family != AF_UNIX)
		return 0;
	return m->server_pid;
}
