/* A client of a Manager: its handle, its connection, its proxies.
 *
 * Properties
 *   One thread is in a handle at a time (client_enter). Requests are numbered; all
 *   but those that wait are answered in the order they were sent, so what is in
 *   flight is a count. At most one request waits, and it is the last one.
 *   A connection has a number, the session: what the server gave during another
 *   one (handles of objects, locks) is worth nothing. Each proxy knows the session
 *   it was opened in, and is told -ESTALE when that is not the current one: once,
 *   since it is then opened anew.
 *   A forked child has a session of its own. Its proxies are opened anew without a
 *   word: to whoever forked, nothing has happened.
 * Operation
 *   client.c          entering, forks, handles
 *   client_connect.c  connecting, for the first time and again
 *   client_call.c     requests and answers
 *   proxy*.c          proxies, and what each call sends
 *   start.c           a server of one's own
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <reeve/manager.h>

#include "workers/manager/address.h"
#include "workers/manager/codec.h"
#include "workers/manager/protocol.h"
#include "workers/manager/wire.h"

#define CLIENT_IN_FLIGHT_MAX 4096		/* requests */
#define CLIENT_UNSENT_MAX    ((size_t)32 << 10) /* bytes that may be collected */
#define CLIENT_TRIES_MAX     16 /* connections that end before they begin */

/* Numbers of requests: of the one that waits, of the question whether the server
 * is there, and all others. */
enum {
	ID_NOBODY, /* protocol.h */
	ID_WAITS,
	ID_PING,
	ID_FIRST,
	ID_LAST = 65535
};

struct owner; /* start.c */

struct reeve_manager {
	char *address;
	bool is_tcp;
	void *authkey;
	size_t authkey_size;
	uint64_t answer_usec,
		reconnect_usec; /* REEVE_MANAGER_..., or a test's */

	/* In a page that a fork wipes. */
	_Atomic unsigned *mark;
	atomic_bool is_inside;
	LIST_ENTRY(reeve_manager) siblings; /* in client.c, under its lock */
	bool is_listed;
	atomic_uint refs; /* the handle, and each proxy */

	struct wire wire;
	uint64_t session; /* 0: there was none */
	uint64_t quiet;	  /* what was opened in it need not be told */
	bool is_forked;	  /* and has not connected since */
	bool is_over;	  /* our own server has ended, or the handle is freed */
	bool is_given_up; /* could not be reached, or has said goodbye; one try
			   * a call from now on */
	unsigned char instance[PROTOCOL_INSTANCE];
	uint64_t n_instances; /* that this client has seen */
	uint64_t generation;
	pid_t server_pid; /* as it says */

	/* What was sent and is not answered: so many, the oldest of which has the
	 * number next_answer. */
	size_t n_in_flight;
	uint32_t next_answer, next_request;
	bool is_asking; /* ID_PING, since */
	uint64_t asked_usec;

	/* The call under way, which wants an answer of its own. */
	uint32_t awaited; /* its number; 0: none, or it is there: */
	bool is_answered;
	int status;
	struct reader results;

	/* Between begin and end. */
	bool is_batch;
	int batch_error;
	size_t n_failed;

	struct owner
		*owner; /* of who has started the server, until it ends it */
	bool is_starter;
};

struct reeve_proxy {
	struct reeve_manager *manager;
	enum reeve_object_kind kind;
	char *name;
	int64_t size;
	void *value; /* encoded; what it begins with */
	size_t value_size;
	int64_t handle;
	uint64_t session;  /* in which handle means something */
	uint64_t instance; /* m->n_instances then */
	bool is_restored;
};

/* ---- client.c ---------------------------------------------------------------- */

/* For the calls of one thread at a time. Returns 0, -EINVAL (NULL), -EBUSY. */
int client_enter(struct reeve_manager *m);
void client_leave(struct reeve_manager *m);

int client_new(const char *address, const void *authkey, size_t authkey_size,
	       struct reeve_manager **ret_manager);
struct reeve_manager *client_ref(struct reeve_manager *m);
/* Of the last reference: frees what is left, without a word to the server. */
void client_unref(struct reeve_manager *m);

/* Begins a connection with fd, which a forked child closes at once. Takes fd. */
void client_set_fd(struct reeve_manager *m, int fd);
/* Closes the connection. */
void client_close_fd(struct reeve_manager *m);

/* ---- client_connect.c --------------------------------------------------------- */

/* Connects and shakes hands, once. */
int client_connect(struct reeve_manager *m, uint64_t end_usec);
/* There is a connection: 0; or tries to make one: see reeve_proxy_open(). */
int client_reconnect(struct reeve_manager *m);

/* The pid of a server on this machine; 0: not connected, or not known. */
pid_t client_peer(const struct reeve_manager *m);

/* ---- client_call.c ----------------------------------------------------------- */

struct request {
	enum verb verb;
	int64_t object;
	const struct reeve_any *arguments; /* as many as the verb has */
	const void *raw; /* encoded arguments, in place of the last one */
	size_t raw_size;
	bool can_wait;
	uint64_t timeout_usec;
};

/* Sends a request, when there is a connection, and waits for its answer: then
 * m->status and m->results, valid until the next call. Or, when its success is all
 * there is to know and a batch is open, does not wait: then is_answered is false.
 * Returns 0; -ENOTCONN: there is no connection any more, and nothing was
 * done; -ECONNRESET, -ESHUTDOWN, -EPROTO; -EMSGSIZE, -EINVAL, -E2BIG, -ENOMEM:
 * nothing was sent. */
int client_request(struct reeve_manager *m, const struct request *request);

/* Gives a handle back; the answer is not waited for. */
void client_close_object(struct reeve_manager *m, int64_t object);

/* Waits for all answers. */
int client_settle(struct reeve_manager *m);

/* What is in flight is lost: counts it, and closes the connection. Returns
 * error. */
int client_lose(struct reeve_manager *m, int error);

/* Notes the outcome of a call in the batch, if there is one. Returns r. */
int client_note(struct reeve_manager *m, int r);

/* ---- proxy.c ------------------------------------------------------------------- */

/* What a call returns, by the letters of its verb. */
struct result {
	struct reeve_any *value; /* v; NULL: not wanted */
	int64_t integers[2];	 /* i */
	bool boolean;		 /* b */
};

/* One call on an object: arguments, as many as the verb has, are checked by its
 * letters; a timeout is an integer, as proxy_timeout() makes it. result may be
 * NULL. */
int proxy_call(struct reeve_proxy *p, enum verb verb,
	       const struct reeve_any *arguments, struct result *result);

/* The same without an object. */
int client_ask(struct reeve_manager *m, enum verb verb,
	       const struct reeve_any *arguments, struct result *result);

static inline struct reeve_any proxy_timeout(uint64_t timeout_usec)
{
	return reeve_any_int(timeout_usec > INT64_MAX ? -1
						      : (int64_t)timeout_usec);
}

/* ---- start.c -------------------------------------------------------------------- */

/* Ends the server, when this process has started it. Returns 0, or -errno: its last
 * snapshot is not written. */
int owner_end(struct reeve_manager *m);
/* In a forked child: it is not ours. Called between fork(2) and its return. */
void owner_forget(struct reeve_manager *m);
/* The pid of the server, 0: none at the moment, or not ours; -ESHUTDOWN: the keeper
 * has given up, or is dead. */
int owner_look(const struct reeve_manager *m);
