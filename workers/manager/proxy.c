/* Proxies: opening, calling, giving back; and the calls that need none.
 *
 * A call goes through four gates, each of which may end it with nothing done: who
 * is inside, is it a call for this kind, are its arguments what the table of verbs
 * says, is the proxy open in the current session. The last one opens it anew when
 * it is not, and tells that, once.
 */
#include "workers/manager/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/manager/auth.h"

#define OWN_NAME_BYTES 16 /* random */

/* ---- results -------------------------------------------------------------------- */

static int read_value(struct reader *r, struct reeve_any *ret_value)
{
	return ret_value ? codec_get(r, ret_value) : codec_skip(r, NULL, NULL);
}

/* All integers that are results count something. */
static int read_count(struct reader *r, int64_t *ret_count)
{
	int64_t n;
	int error = codec_get_int(r, &n);

	if (error < 0 || n < 0)
		return -EBADMSG;
	*ret_count = n;
	return 0;
}

/* What the letters of the verb say, and no more. (A verb has one value at most.) */
static int read_results(struct reader *reader, const char *letters,
			struct result *ret)
{
	struct reeve_any value = reeve_any_nil();
	int n_integers = 0, r = 0;

	for (; *letters && r == 0; letters++)
		switch (*letters) {
		case 'i':
			r = read_count(reader, &ret->integers[n_integers++]);
			break;
		case 'b':
			r = codec_get_bool(reader, &ret->boolean);
			break;
		default:
			r = read_value(reader, ret->value ? &value : NULL);
		}
	if (r == 0 && !reader_is_at_end(reader))
		r = -EBADMSG;
	if (r < 0)
		reeve_any_free(&value);
	else if (ret->value)
		*ret->value = value;
	return r == 0 || r == -ENOMEM ? r : -EPROTO;
}

static int take_result(struct reeve_manager *m, enum verb verb,
		       struct result *result)
{
	struct result nothing = { .value = NULL };
	int r;

	if (!m->is_answered)
		return 0;
	if (m->status < 0)
		return m->status;
	r = read_results(&m->results, verb_rows[verb].results,
			 result ? result : &nothing);
	return r == -EPROTO ? client_lose(m, r) : r;
}

/* ---- arguments -------------------------------------------------------------------- */

static bool is_key(const struct reeve_any *a)
{
	return a->kind == REEVE_ANY_BOOL || a->kind == REEVE_ANY_INT ||
	       a->kind == REEVE_ANY_STRING || a->kind == REEVE_ANY_BYTES;
}

/* Makes a request of them. A wait without time is none: it is answered at once, but
 * for that of a condition, which waits for its lock. */
static int prepare(enum verb verb, const struct reeve_any *arguments,
		   struct request *ret)
{
	const char *letters = verb_rows[verb].arguments;
	int64_t timeout = 0;

	for (size_t i = 0; letters[i]; i++) {
		if (letters[i] == 'k' && !is_key(&arguments[i]))
			return -EINVAL;
		if (letters[i] == 't')
			timeout = arguments[i].integer;
	}
	*ret = (struct request){
		.verb = verb,
		.arguments = arguments,
		.timeout_usec = timeout < 0 ? REEVE_FOREVER : (uint64_t)timeout,
		.can_wait = verb_rows[verb].can_wait &&
			    (timeout != 0 || verb == VERB_WAIT),
	};
	return 0;
}

/* ---- opening ------------------------------------------------------------------------ */

struct opened {
	int64_t handle;
	bool is_made, is_restored;
};

static int read_opened(struct reeve_manager *m, struct opened *ret)
{
	struct reader *r = &m->results;

	if (m->status < 0)
		return m->status;
	if (codec_get_int(r, &ret->handle) < 0 ||
	    codec_get_bool(r, &ret->is_made) < 0 ||
	    codec_get_bool(r, &ret->is_restored) < 0 || !reader_is_at_end(r))
		return client_lose(m, -EPROTO);
	return 0;
}

/* It does no harm to ask for it twice: so when a connection ends meanwhile, it is
 * asked again by the next one, for a while. */
static int open_object(struct reeve_proxy *p, struct opened *ret)
{
	struct reeve_manager *m = p->manager;
	const struct reeve_any arguments[] = {
		reeve_any_int(p->kind),
		reeve_any_string(p->name),
		reeve_any_int(p->size),
		reeve_any_nil(),
	};
	const struct request q = { .verb = VERB_OPEN,
				   .arguments = arguments,
				   .raw = p->value,
				   .raw_size = p->value_size };
	uint64_t end_usec = usec_add(clock_monotonic_usec(), m->reconnect_usec);
	int r = 0;

	for (int i = 0; i < CLIENT_TRIES_MAX; i++) {
		r = client_reconnect(m);
		if (r == 0)
			r = client_request(m, &q);
		if ((r != -ENOTCONN && r != -ECONNRESET) ||
		    clock_monotonic_usec() >= end_usec)
			break;
	}
	if (r == -ENOTCONN)
		return -ECONNRESET;
	return r < 0 ? r : read_opened(m, ret);
}

/* Opens it in the current session. Returns 1: this must be told. */
static int reopen(struct reeve_proxy *p)
{
	struct reeve_manager *m = p->manager;
	struct opened o;
	bool is_same;
	int r = open_object(p, &o);

	if (r < 0)
		return r;
	is_same = p->instance == m->n_instances;
	r = p->session != m->quiet || o.is_made;
	p->is_restored = !o.is_made && (is_same || o.is_restored);
	p->handle = o.handle;
	p->session = m->session;
	p->instance = m->n_instances;
	return r;
}

static int make_ready(struct reeve_proxy *p)
{
	int r = client_reconnect(p->manager);

	if (r < 0 || p->session == p->manager->session)
		return r;
	r = reopen(p);
	return r > 0 ? -ESTALE : r;
}

/* ---- calls --------------------------------------------------------------------------- */

static int call(struct reeve_proxy *p, enum verb verb,
		const struct reeve_any *arguments, struct result *result)
{
	struct request q;
	int r = prepare(verb, arguments, &q);

	if (r == 0)
		r = make_ready(p);
	if (r < 0)
		return r;
	q.object = p->handle;
	r = client_request(p->manager, &q);
	if (r == -ENOTCONN)
		r = make_ready(p); /* another session now: -ESTALE */
	return r < 0 ? r : take_result(p->manager, verb, result);
}

int proxy_call(struct reeve_proxy *p, enum verb verb,
	       const struct reeve_any *arguments, struct result *result)
{
	int r = p ? client_enter(p->manager) : -EINVAL;

	if (r < 0)
		return r;
	if (verb_rows[verb].kinds & (1u << p->kind))
		r = call(p, verb, arguments, result);
	else
		r = -ENOTSUP;
	r = client_note(p->manager, r);
	client_leave(p->manager);
	return r;
}

int client_ask(struct reeve_manager *m, enum verb verb,
	       const struct reeve_any *arguments, struct result *result)
{
	struct request q;
	int r = client_enter(m);

	if (r < 0)
		return r;
	r = prepare(verb, arguments, &q);
	for (int i = 0; r == 0 && i < CLIENT_TRIES_MAX; i++) {
		r = client_reconnect(m);
		if (r == 0)
			r = client_request(m, &q);
		if (r != -ENOTCONN)
			break;
		r = 0;
	}
	if (r == 0)
		r = take_result(m, verb, result);
	r = client_note(m, r);
	client_leave(m);
	return r;
}

int reeve_manager_stats(struct reeve_manager *m, struct reeve_any *ret_stats)
{
	return client_ask(m, VERB_STATS, NULL,
			  &(struct result){ .value = ret_stats });
}

int reeve_manager_names(struct reeve_manager *m, struct reeve_any *ret_names)
{
	return client_ask(m, VERB_NAMES, NULL,
			  &(struct result){ .value = ret_names });
}

int reeve_manager_delete(struct reeve_manager *m, const char *name)
{
	const struct reeve_any arguments[] = { reeve_any_string(name) };

	return name ? client_ask(m, VERB_DELETE, arguments, NULL) : -EINVAL;
}

/* ---- proxies --------------------------------------------------------------------------- */

/* A name that nobody else has. */
static int make_name(struct reeve_proxy *p)
{
	unsigned char bytes[OWN_NAME_BYTES];
	int r = auth_random(bytes, sizeof(bytes));

	if (r < 0)
		return r;
	p->name = malloc(2 * sizeof(bytes) + 2);
	if (!p->name)
		return -ENOMEM;
	p->name[0] = '#';
	for (size_t i = 0; i < sizeof(bytes); i++)
		(void)snprintf(p->name + 1 + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

static int encode_value(struct reeve_proxy *p, const struct reeve_any *value)
{
	int r = reeve_any_encode(value, &p->value, &p->value_size);

	return r == 0 && p->value_size > REEVE_MANAGER_VALUE_MAX ? -EMSGSIZE
								 : r;
}

static void discard(struct reeve_proxy *p)
{
	if (!p)
		return;
	if (p->manager)
		client_unref(p->manager);
	free(p->value);
	free(p->name);
	free(p);
}

static void free_proxy(struct reeve_proxy **p)
{
	discard(*p);
}

static int new_proxy(enum reeve_object_kind kind, const char *name,
		     const struct reeve_object_spec *spec,
		     struct reeve_proxy **ret_proxy)
{
	_cleanup_(free_proxy) struct reeve_proxy *p = calloc(1, sizeof(*p));
	int r = 0;

	if (!p)
		return -ENOMEM;
	p->kind = kind;
	p->size = (int64_t)spec->size;
	if (p->size == 0 && ((1u << kind) & KINDS_SEM))
		p->size = 1;
	if (name)
		p->name = strdup(name);
	else
		r = make_name(p);
	if (r == 0 && !p->name)
		r = -ENOMEM;
	if (r == 0)
		r = encode_value(p, &spec->value);
	if (r == 0)
		*ret_proxy = TAKE(p);
	return r;
}

static int open_first(struct reeve_manager *m, struct reeve_proxy *p)
{
	struct opened o;
	int r;

	p->manager = client_ref(m);
	r = open_object(p, &o);
	if (r < 0)
		return r;
	p->handle = o.handle;
	p->session = m->session;
	p->instance = m->n_instances;
	p->is_restored = o.is_restored;
	return o.is_made;
}

int reeve_proxy_open(struct reeve_manager *m, enum reeve_object_kind kind,
		     const char *name, const struct reeve_object_spec *spec,
		     struct reeve_proxy **ret_proxy)
{
	static const struct reeve_object_spec plain;
	_cleanup_(free_proxy) struct reeve_proxy *p = NULL;
	int r;

	spec = spec ? spec : &plain;
	if (!ret_proxy || (unsigned)kind >= REEVE_OBJECT_COUNT ||
	    spec->size > INT64_MAX ||
	    (name && (!name[0] || strlen(name) > REEVE_MANAGER_NAME_MAX)))
		return -EINVAL;
	r = client_enter(m);
	if (r < 0)
		return r;
	r = new_proxy(kind, name, spec, &p);
	if (r == 0)
		r = open_first(m, p);
	r = client_note(m, r);
	client_leave(m);
	if (r >= 0)
		*ret_proxy = TAKE(p);
	return r;
}

/* When another thread is in a call, the server is not told, and keeps the handle
 * until the connection ends. */
struct reeve_proxy *reeve_proxy_free(struct reeve_proxy *p)
{
	struct reeve_manager *m;

	if (!p)
		return NULL;
	m = p->manager;
	if (client_enter(m) == 0) {
		if (m->wire.fd >= 0 && p->session == m->session)
			client_close_object(m, p->handle);
		client_leave(m);
	}
	discard(p);
	return NULL;
}

enum reeve_object_kind reeve_proxy_kind(const struct reeve_proxy *p)
{
	return p ? p->kind : REEVE_OBJECT_COUNT;
}

const char *reeve_proxy_name(const struct reeve_proxy *p)
{
	return p ? p->name : NULL;
}

int reeve_proxy_is_restored(const struct reeve_proxy *p)
{
	return p ? p->is_restored : -EINVAL;
}
