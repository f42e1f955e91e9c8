/* `reeve reload` that goes well, and the plan it shows. */
#pragma once

#include <stdbool.h>

struct rig;

/* Reloads, or fails the test. Returns what it printed (free it). */
char *rig_reload(struct rig *r);

/* Is there a line of this action and worker, with this in its detail? */
bool rig_plan_has(const char *plan, const char *action, const char *name,
		  const char *detail);
