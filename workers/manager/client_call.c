/* Requests and answers.
 *
 * What is in flight is bounded (CLIENT_IN_FLIGHT_MAX, CLIENT_UNSENT_MAX and one
 * value): at the bound, answers are taken in before another request is sent, and
 * always while one cannot be sent. So neither side ever waits for the other to
 * read while the other does the same.
 *
 * A server may be silent for answer_usec while something is due from it: then the
 * connection is given up. While a call waits for others (a lock, an item), nothing
 * is due: after that time, and when the call's own time is over, the server is asked
 * for a sign of life, which is. A part of an answer is none: whoever sends its
 * bytes one by one ends, too.
 */
#include "workers/manager/client.h"

#include <errno.h>
#include <string.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/manager/frame.h"

#define ERROR_MAX      4095
#define PROGRESS_BYTES ((size_t)64 << 10) /* as good as a sign of life */
#define LATE_SHARE     8 /* of answer_usec: late, by this much */

/* What is waited for. */
struct goal {
	size_t in_flight_max;
	bool is_sent; /* nothing unsent */
	bool is_answered;
	bool can_wait, is_endless; /* it may take as long as others like */
	uint64_t end_usec;
};

struct patience {
	uint64_t until_usec;
	size_t moved; /* bytes, at the last sign of life */
};

/* ---- answers ------------------------------------------------------------------- */

static uint32_t next_id(uint32_t id)
{
	return id == ID_LAST ? ID_FIRST : id + 1;
}

int client_note(struct reeve_manager *m, int r)
{
	if (!m->is_batch || r >= 0)
		return r;
	m->n_failed++;
	if (m->batch_error == 0)
		m->batch_error = r;
	return r;
}

/* The answer that the call under way waits for. */
static int settle_own(struct reeve_manager *m, int status,
		      const struct reader *results)
{
	if (m->n_in_flight > 0) /* it overtook others */
		return -EPROTO;
	m->is_answered = true;
	m->awaited = ID_NOBODY;
	m->status = status;
	m->results = *results;
	return 0;
}

static int settle_next(struct reeve_manager *m, uint32_t id, int status,
		       const struct reader *results)
{
	if (m->n_in_flight == 0 || id != m->next_answer)
		return -EPROTO;
	m->n_in_flight--;
	m->next_answer = next_id(m->next_answer);
	if (id == m->awaited)
		return settle_own(m, status, results);
	(void)client_note(m, status);
	return reader_is_at_end(results) ? 0 : -EPROTO;
}

static int take_answer(struct reeve_manager *m, struct reader *r)
{
	int64_t id, status;

	if (codec_get_int(r, &id) < 0 || codec_get_int(r, &status) < 0 ||
	    status > 0 || status < -ERROR_MAX ||
	    (status < 0 && !reader_is_at_end(r)))
		return -EPROTO;
	if (id == ID_NOBODY)
		return status == -ESHUTDOWN ? -ESHUTDOWN : -EPROTO;
	if (id == ID_PING && m->is_asking) {
		m->is_asking = false;
		return reader_is_at_end(r) ? 0 : -EPROTO;
	}
	if (id == ID_WAITS && m->awaited == ID_WAITS)
		return settle_own(m, (int)status, r);
	if (id < ID_FIRST || id > ID_LAST)
		return -EPROTO;
	return settle_next(m, (uint32_t)id, (int)status, r);
}

/* All that have come, up to the call's own. Returns whether there was one. */
static int take_answers(struct reeve_manager *m)
{
	const unsigned char *data;
	size_t size;
	int n = 0, r;

	while (!m->is_answered &&
	       (r = wire_next(&m->wire, FRAME_MAX, &data, &size)) != 0) {
		struct reader reader = { .data = data, .size = size };

		r = r < 0 ? -EPROTO : take_answer(m, &reader);
		if (r < 0)
			return r;
		n = 1;
	}
	return n;
}

int client_lose(struct reeve_manager *m, int error)
{
	/* the call under way says so itself */
	if (m->awaited >= ID_FIRST && m->n_in_flight > 0)
		m->n_in_flight--;
	if (m->is_batch && m->n_in_flight > 0) {
		m->n_failed += m->n_in_flight;
		if (m->batch_error == 0)
			m->batch_error = error;
	}
	m->n_in_flight = 0;
	m->awaited = ID_NOBODY;
	m->is_asking = false;
	m->is_given_up = m->is_given_up || error == -ESHUTDOWN;
	client_close_fd(m);
	return error;
}

/* ---- requests --------------------------------------------------------------------- */

/* Appends a frame. Returns its bytes, or -errno: nothing was appended. */
static ssize_t append(struct reeve_manager *m, uint32_t id,
		      const struct request *q)
{
	struct buf *b = &m->wire.out;
	size_t n = strlen(verb_rows[q->verb].arguments);
	ssize_t begin = frame_begin(b);
	size_t from;
	int r = begin < 0 ? (int)begin : codec_put_int(b, id);

	if (r == 0)
		r = codec_put_int(b, q->verb);
	if (r == 0)
		r = codec_put_int(b, q->object);
	for (size_t i = 0; i < n - (q->raw != NULL) && r == 0; i++) {
		from = b->len;
		r = codec_put(b, &q->arguments[i]);
		if (r == 0 && b->len - from > REEVE_MANAGER_VALUE_MAX)
			r = -EMSGSIZE;
	}
	if (r == 0 && q->raw)
		r = buf_append(b, q->raw, q->raw_size);
	if (r == 0)
		r = frame_end(b, (size_t)begin, FRAME_MAX);
	if (r < 0 && begin >= 0)
		buf_truncate(b, (size_t)begin);
	return r < 0 ? r : (ssize_t)(b->len - (size_t)begin);
}

/* It was appended: its answer is due, after those before it. */
static void count_in(struct reeve_manager *m, uint32_t id)
{
	if (id < ID_FIRST)
		return;
	m->next_request = next_id(id);
	m->n_in_flight++;
}

static int ask(struct reeve_manager *m, uint64_t now)
{
	const struct request ping = { .verb = VERB_PING };
	ssize_t n = append(m, ID_PING, &ping);

	if (n < 0)
		return (int)n;
	m->is_asking = true;
	m->asked_usec = now;
	return 0;
}

/* ---- waiting ------------------------------------------------------------------------ */

static bool is_reached(const struct reeve_manager *m, const struct goal *g)
{
	return m->n_in_flight <= g->in_flight_max &&
	       (!g->is_sent || wire_unsent(&m->wire) == 0) &&
	       (!g->is_answered || m->is_answered);
}

static void be_patient(struct reeve_manager *m, const struct goal *g,
		       struct patience *p)
{
	uint64_t now = clock_monotonic_usec();
	uint64_t late = usec_add(g->end_usec, m->answer_usec / LATE_SHARE);

	p->moved = m->wire.moved;
	p->until_usec = usec_add(now, m->answer_usec);
	if (g->can_wait && late > now)
		p->until_usec = MIN(p->until_usec, late);
}

/* Nothing came for so long. */
static int be_impatient(struct reeve_manager *m, const struct goal *g,
			struct patience *p)
{
	uint64_t now = clock_monotonic_usec();

	if (!g->can_wait || wire_unsent(&m->wire) > 0 ||
	    wire_has_part(&m->wire))
		return -ECONNRESET;
	if (m->is_asking) {
		p->until_usec = usec_add(m->asked_usec, m->answer_usec);
		return now < p->until_usec ? 0 : -ECONNRESET;
	}
	/* it lives, and does not say that the time is over */
	if (!g->is_endless && now > usec_add(g->end_usec, 2 * m->answer_usec))
		return -EPROTO;
	p->until_usec = usec_add(now, m->answer_usec);
	return ask(m, now);
}

static int wait_once(struct reeve_manager *m, const struct goal *g,
		     struct patience *p)
{
	int r;

	if (wire_has_part(&m->wire)) { /* left by the call before */
		r = take_answers(m);
		if (r != 0)
			return r;
	}
	if (p->until_usec == 0)
		be_patient(m, g, p);
	r = wire_wait(&m->wire, p->until_usec);
	if (r == -ETIMEDOUT)
		return be_impatient(m, g, p);
	return r == 1 ? take_answers(m) : r;
}

static int await(struct reeve_manager *m, const struct goal *g)
{
	struct patience p = { 0 };
	int r;

	for (;;) {
		wire_send(&m->wire);
		if (is_reached(m, g))
			return 0;
		r = wait_once(m, g, &p);
		if (r < 0)
			return r;
		if (r == 1 || m->wire.moved - p.moved > PROGRESS_BYTES)
			p.until_usec = 0;
	}
}

/* ---- calls ---------------------------------------------------------------------------- */

/* Requests of a batch: full buffers are emptied, before or after. */
static int make_room(struct reeve_manager *m)
{
	const struct goal g = {
		.in_flight_max = CLIENT_IN_FLIGHT_MAX - 1,
		.is_sent = m->wire.out.len >= CLIENT_UNSENT_MAX,
	};

	return is_reached(m, &g) ? 0 : await(m, &g);
}

static int wait_for_own(struct reeve_manager *m, const struct request *q,
			size_t size)
{
	const struct goal g = {
		.is_answered = true,
		.can_wait = q->can_wait,
		.is_endless = q->verb == VERB_WAIT,
		.end_usec = q->can_wait && q->timeout_usec != REEVE_FOREVER
				    ? usec_add(clock_monotonic_usec(),
					       q->timeout_usec)
				    : USEC_INFINITY,
	};
	int r = await(m, &g);
	/* nothing of it went to the kernel (and it is the last thing in out) */
	bool is_unsent = m->wire.is_broken && !m->is_asking &&
			 m->wire.out.len - m->wire.sent >= size;

	if (r == 0)
		return 0;
	r = client_lose(m, r);
	return r == -ECONNRESET && is_unsent ? -ENOTCONN : r;
}

int client_request(struct reeve_manager *m, const struct request *q)
{
	bool is_deferred = m->is_batch && !q->can_wait &&
			   verb_rows[q->verb].results[0] == '\0';
	uint32_t id = q->can_wait ? ID_WAITS : m->next_request;
	ssize_t size = append(m, id, q);

	m->is_answered = false;
	if (size < 0)
		return (int)size;
	count_in(m, id);
	if (!is_deferred) {
		m->awaited = id;
		return wait_for_own(m, q, (size_t)size);
	}
	int r = make_room(m);

	if (r < 0)
		(void)client_lose(m, r); /* which counts this one */
	return 0;
}

void client_close_object(struct reeve_manager *m, int64_t object)
{
	const struct request q = { .verb = VERB_CLOSE, .object = object };

	m->is_answered = false;
	if (append(m, m->next_request, &q) < 0)
		return; /* until the connection ends */
	count_in(m, m->next_request);
	wire_send(&m->wire);
	if (make_room(m) < 0)
		(void)client_lose(m, -ECONNRESET);
}

int client_settle(struct reeve_manager *m)
{
	const struct goal g = { .is_sent = true };
	int r;

	m->is_answered = false;
	r = m->n_in_flight > 0 ? await(m, &g) : 0;
	return r < 0 ? client_lose(m, r) : 0;
}

/* ---- many at once ----------------------------------------------------------------------- */

int reeve_manager_begin(struct reeve_manager *m)
{
	int r = client_enter(m);

	if (r < 0)
		return r;
	if (m->is_batch) {
		r = -EINVAL;
	} else {
		m->is_batch = true;
		m->batch_error = 0;
		m->n_failed = 0;
	}
	client_leave(m);
	return r;
}

int reeve_manager_end(struct reeve_manager *m, size_t *ret_failed)
{
	int r = client_enter(m);

	if (r < 0)
		return r;
	if (!m->is_batch) {
		client_leave(m);
		return -EINVAL;
	}
	(void)client_settle(m); /* a loss is noted */
	r = m->batch_error;
	if (ret_failed)
		*ret_failed = m->n_failed;
	m->is_batch = false;
	client_leave(m);
	return r;
}
