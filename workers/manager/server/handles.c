/* Handles: what a session has open.
 *
 * Several handles of one object share the session's stake in it. The stake stays
 * when the last of them is closed, if something is held or waited for; it goes with
 * the session, or the object.
 */
#include "workers/manager/server/store_room.h"

#include <errno.h>
#include <string.h>

#include "workers/base/pure/macro.h"

#define PLACES_MIN 4

/* ---- stakes ------------------------------------------------------------------------ */

/* The object has few of them: one for each session that has it open. */
static struct stake *stake_find(const struct session *session,
				const struct object *o)
{
	struct stake *stake;

	TAILQ_FOREACH(stake, &o->stakes, in_object)
	if (stake->session == session)
		break;
	return stake;
}

/* NULL: no memory, the purse knows why. */
static struct stake *stake_new(struct session *session, struct object *o)
{
	struct purse *purse = &session->store->purse;
	struct stake *stake = purse_new_zero(purse, sizeof(*stake));

	if (!stake)
		return NULL;
	stake->session = session;
	stake->object = o;
	TAILQ_INSERT_TAIL(&o->stakes, stake, in_object);
	TAILQ_INSERT_TAIL(&session->stakes, stake, in_session);
	return stake;
}

void stake_free(struct store *store, struct stake *stake)
{
	TAILQ_REMOVE(&stake->object->stakes, stake, in_object);
	TAILQ_REMOVE(&stake->session->stakes, stake, in_session);
	purse_free(&store->purse, stake, sizeof(*stake));
}

static void stake_settle(struct store *store, struct stake *stake)
{
	if (stake->n_handles == 0 && stake->n_waiters == 0 &&
	    stake->n_held == 0)
		stake_free(store, stake);
}

/* ---- handles ----------------------------------------------------------------------- */

/* A free place at least. */
static int reserve_place(struct session *session)
{
	struct purse *purse = &session->store->purse;
	size_t max = session->store->limits.max_handles;
	size_t n = session->n_places;
	size_t more = MIN(MAX(2 * n, (size_t)PLACES_MIN), max);
	struct handle *handles;

	if (session->first_free)
		return 0;
	if (n >= max)
		return -ENOSPC;
	handles = purse_new_zero(purse, more * sizeof(*handles));
	if (!handles)
		return purse->error;
	if (n > 0)
		memcpy(handles, session->handles, n * sizeof(*handles));
	purse_free(purse, session->handles, n * sizeof(*handles));
	for (size_t i = n; i < more; i++)
		handles[i].next_free = i + 1 < more ? i + 2 : 0;
	session->handles = handles;
	session->n_places = more;
	session->first_free = n + 1;
	return 0;
}

int handle_new(struct session *session, struct object *o, int64_t *ret_handle)
{
	struct stake *stake = stake_find(session, o);
	struct handle *handle;
	int r = reserve_place(session);

	if (r < 0)
		return r;
	if (!stake)
		stake = stake_new(session, o);
	if (!stake)
		return session->store->purse.error;
	*ret_handle = (int64_t)session->first_free;
	handle = &session->handles[session->first_free - 1];
	session->first_free = handle->next_free;
	*handle = (struct handle){ .stake = stake };
	stake->n_handles++;
	object_opened(o);
	return 0;
}

struct stake *handle_stake(const struct session *session, int64_t handle)
{
	if (handle <= 0 || (uint64_t)handle > session->n_places)
		return NULL;
	return session->handles[handle - 1].stake;
}

void handle_free(struct session *session, int64_t handle)
{
	struct handle *h = &session->handles[handle - 1];
	struct stake *stake = h->stake;
	struct object *o = stake->object;

	*h = (struct handle){ .next_free = session->first_free };
	session->first_free = (size_t)handle;
	stake->n_handles--;
	object_closed(session->store, o);
	stake_settle(session->store, stake);
}

void handles_free_all(struct session *session)
{
	struct store *store = session->store;
	struct stake *stake;

	while ((stake = TAILQ_FIRST(&session->stakes))) {
		reeve_assert(stake->n_waiters == 0 && stake->n_held == 0);
		for (; stake->n_handles > 0; stake->n_handles--)
			object_closed(store, stake->object);
		stake_free(store, stake);
	}
	purse_free(&store->purse, session->handles,
		   session->n_places * sizeof(*session->handles));
	session->handles = NULL;
	session->n_places = session->first_free = 0;
}
