/* Answers: what is appended to a session's output.
 *
 * An answer is there as a whole, or not at all. One that finds no room is replaced
 * by its error; when there is none for that either, nothing more can be said to
 * that session: it has an error, and whoever runs the store ends it.
 */
#include "workers/manager/server/store_room.h"

#include <errno.h>

#include "workers/manager/frame.h"

static void set_ready(struct session *session)
{
	if (session->is_ready)
		return;
	session->is_ready = true;
	TAILQ_INSERT_TAIL(&session->store->ready, session, in_ready);
}

static void set_error(struct session *session, int error)
{
	if (session->error == 0)
		session->error = error;
	set_ready(session);
}

static ssize_t begin_frame(struct session *session, int64_t id, int status)
{
	struct buf *b = &session->output;
	ssize_t begin = frame_begin(b);

	(void)codec_put_int(b, id);
	(void)codec_put_int(b, status);
	return begin;
}

/* Takes all back when it fails. */
static int end_frame(struct session *session, ssize_t begin)
{
	struct buf *b = &session->output;
	int r;

	if (begin < 0) {
		b->error = 0;
		return (int)begin;
	}
	r = frame_end(b, (size_t)begin, FRAME_MAX);
	if (r == 0)
		set_ready(session);
	return r;
}

/* ---- now ------------------------------------------------------------------------ */

void answer_begin(struct request *q)
{
	q->begin = begin_frame(q->session, q->id, 0);
}

int answer_end(struct request *q)
{
	return end_frame(q->session, q->begin);
}

int answer_nothing(struct request *q)
{
	answer_begin(q);
	return answer_end(q);
}

int answer_int(struct request *q, int64_t value)
{
	answer_begin(q);
	(void)codec_put_int(&q->session->output, value);
	return answer_end(q);
}

int answer_bool(struct request *q, bool value)
{
	answer_begin(q);
	(void)codec_put_bool(&q->session->output, value);
	return answer_end(q);
}

int answer_encoded(struct request *q, const void *data, size_t size)
{
	answer_begin(q);
	(void)buf_append(&q->session->output, data, size);
	return answer_end(q);
}

void answer_error(struct session *session, int64_t id, int error)
{
	ssize_t begin = begin_frame(session, id, error);
	int r = end_frame(session, begin);

	if (r < 0)
		set_error(session, r);
}

/* ---- later ----------------------------------------------------------------------- */

/* What comes between is one value, encoded, or nothing. */
static bool end_wait(struct waiter *w, int status, const void *data,
		     size_t size)
{
	struct session *session = w->stake->session;
	ssize_t begin;
	int r;

	if (session->error < 0) {
		waiter_free(w);
		return false;
	}
	begin = begin_frame(session, w->id, status);
	(void)buf_append(&session->output, data, size);
	r = end_frame(session, begin);
	if (r < 0)
		set_error(session, r);
	waiter_free(w);
	return r == 0;
}

bool waiter_end(struct waiter *w, int error)
{
	return end_wait(w, error, NULL, 0);
}

bool waiter_end_nothing(struct waiter *w)
{
	return end_wait(w, 0, NULL, 0);
}

bool waiter_end_int(struct waiter *w, int64_t value)
{
	struct cell cell = number_cell(value);

	return end_wait(w, 0, cell_data(&cell), cell_size(&cell));
}

bool waiter_end_bool(struct waiter *w, bool value)
{
	const unsigned char encoded = value ? 0xf5 : 0xf4; /* RFC 8949 3.3 */

	return end_wait(w, 0, &encoded, sizeof(encoded));
}

bool waiter_end_encoded(struct waiter *w, const void *data, size_t size)
{
	return end_wait(w, 0, data, size);
}
