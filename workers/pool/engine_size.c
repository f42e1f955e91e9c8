/* How many workers there are to be. Which ones leave is decided anew each time, from
 * what is there: there is no count of those that were told to. A worker that was
 * told to and has not left yet may be told to stay; one that has left already is
 * seen as gone a little later, and what it was given meanwhile was not begun.
 */
#include "workers/pool/engine_room.h"

/* Of those that leave, or do not: the one with the least to do. */
static unsigned least_loaded(const struct engine *e, bool is_leaving)
{
	unsigned least = e->n_ports;

	for (unsigned i = 0; i < e->n_ports; i++) {
		const struct port *p = &e->ports[i];

		if (p->state != PORT_LIVE || p->is_leaving != is_leaving)
			continue;
		if (least == e->n_ports ||
		    port_load(p) < port_load(&e->ports[least]))
			least = i;
	}
	return least;
}

static void dismiss(struct engine *e, unsigned i)
{
	struct port *p = &e->ports[i];
	struct piece piece;

	port_set_leaving(p, true);
	while (port_take_back(p, &piece))
		if (piece.job)
			engine_redo_or_cancel(e, &piece, true);
	e->hooks->wake(e, i);
}

void engine_resize(struct engine *e, unsigned n_workers)
{
	unsigned n_open = 0, i;

	for (i = 0; i < e->n_ports; i++)
		n_open += engine_is_open(&e->ports[i]);
	for (; n_open > n_workers; n_open--)
		dismiss(e, least_loaded(e, false));
	for (; n_open < n_workers; n_open++) {
		i = least_loaded(e, true);
		if (i == e->n_ports)
			return;
		port_set_leaving(&e->ports[i], false);
	}
}

bool engine_has_to_check(const struct engine *e)
{
	for (unsigned i = 0; i < e->n_ports; i++) {
		const struct port *p = &e->ports[i];

		if (port_load(p) > 0 ||
		    (p->state == PORT_LIVE && p->is_leaving))
			return true;
	}
	return engine_has_something(e);
}
