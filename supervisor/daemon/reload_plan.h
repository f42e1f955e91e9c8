/* A reload's plan: what the fleet has against what the new settings ask for.
 *
 * Made as a whole before anything is touched, and so also what --dry-run
 * shows. One row per worker that is not the same.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "conf/settings.h"

struct fleet;
struct worker;

enum reload_action {
	RELOAD_ADD,	/* a new worker */
	RELOAD_REMOVE,	/* no longer asked for: stopped, by its old settings */
	RELOAD_RESTART, /* changed: stopped and started with the new settings */
	RELOAD_UPDATE,	/* changed in what needs no restart */
	RELOAD_KEEP,	/* the same: takes the new object, nothing is shown */
	RELOAD_ACTIONS
};

struct reload_row {
	enum reload_action action;
	struct worker *worker;			/* NULL: ADD */
	const struct worker_settings *settings; /* NULL: REMOVE */
	uint32_t number;
	char *name;
	char *detail; /* the keys that changed, or NULL */
};

struct reload_plan {
	struct reload_row *rows;
	size_t n_rows;
	size_t n_workers; /* of the new settings */
};

const char *reload_plan_word(enum reload_action action);

/* Returns 0 or -ENOMEM. */
int reload_plan_make(const struct fleet *f, const struct settings *new,
		     struct reload_plan *ret_plan);
void reload_plan_done(struct reload_plan *plan);
