/* See objects.h. Getters only: what is shown is read from the daemon's own
 * objects when it is asked for, and nothing can be set.
 */
#include "supervisor/daemon/objects.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/daemon/daemon.h"
#include "supervisor/daemon/worker.h"
#include "workers/base/sys/clock.h"

/* The getters have the parameters that sd-bus gives them. */
/* NOLINTBEGIN(readability-function-size) */

/* ---- the daemon --------------------------------------------------------- */

static int get_text(sd_bus *bus _unused_, const char *path _unused_,
		    const char *interface _unused_, const char *property,
		    sd_bus_message *reply, void *userdata,
		    sd_bus_error *error _unused_)
{
	static const char *const phases[] = {
		[PHASE_STARTING] = "starting",
		[PHASE_RUNNING] = "running",
		[PHASE_STOPPING] = "stopping",
	};
	const struct client *c = userdata;
	const struct daemon *d = c->daemon;
	const char *text = REEVE_VERSION;

	if (strcmp(property, "State") == 0)
		text = phases[d->phase];
	else if (strcmp(property, "RuntimeDir") == 0)
		text = d->runtime.dir;
	else if (strcmp(property, "ConfigFile") == 0)
		text = d->generation->settings->files[0];
	else if (strcmp(property, "Guarantee") == 0)
		text = daemon_guarantee(d);
	return sd_bus_message_append(reply, "s", text);
}

static int get_number(sd_bus *bus _unused_, const char *path _unused_,
		      const char *interface _unused_, const char *property,
		      sd_bus_message *reply, void *userdata,
		      sd_bus_error *error _unused_)
{
	const struct client *c = userdata;
	const struct daemon *d = c->daemon;
	uint32_t number = (uint32_t)getpid();

	if (strcmp(property, "Workers") == 0)
		number = (uint32_t)d->fleet.n_workers;
	else if (strcmp(property, "Strays") == 0)
		number = (uint32_t)d->reaper.n_strays;
	return sd_bus_message_append(reply, "u", number);
}

static int get_uptime(sd_bus *bus _unused_, const char *path _unused_,
		      const char *interface _unused_,
		      const char *property _unused_, sd_bus_message *reply,
		      void *userdata, sd_bus_error *error _unused_)
{
	const struct client *c = userdata;

	return sd_bus_message_append(reply, "t",
				     usec_sub(clock_monotonic_usec(),
					      c->daemon->started_usec));
}

static const sd_bus_vtable manager_rows[] = {
	SD_BUS_PROPERTY("Version", "s", get_text, 0,
			SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Pid", "u", get_number, 0,
			SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("State", "s", get_text, 0, 0),
	SD_BUS_PROPERTY("RuntimeDir", "s", get_text, 0,
			SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("ConfigFile", "s", get_text, 0, 0),
	SD_BUS_PROPERTY("Guarantee", "s", get_text, 0,
			SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("UptimeUSec", "t", get_uptime, 0, 0),
	SD_BUS_PROPERTY("Workers", "u", get_number, 0, 0),
	SD_BUS_PROPERTY("Strays", "u", get_number, 0, 0),
	SD_BUS_SIGNAL_WITH_NAMES("StateChanged", "sssuis",
				 SD_BUS_PARAM(worker) SD_BUS_PARAM(from)
					 SD_BUS_PARAM(to) SD_BUS_PARAM(pid)
						 SD_BUS_PARAM(exit_code)
							 SD_BUS_PARAM(reason),
				 0),
};
_Static_assert(ARRAY_SIZE(manager_rows) <= OBJECTS_MANAGER_ROWS, "room");

size_t objects_manager_rows(sd_bus_vtable *rows)
{
	memcpy(rows, manager_rows, sizeof(manager_rows));
	return ARRAY_SIZE(manager_rows);
}

int objects_emit_change(struct client *c, const struct worker *w,
			enum worker_state from)
{
	const struct lifecycle *lc = &w->life;

	return sd_bus_emit_signal(c->bus, REEVE_BUS_PATH, REEVE_BUS_INTERFACE,
				  "StateChanged", "sssuis", w->name,
				  worker_state_name(from),
				  worker_state_name(lc->state),
				  (uint32_t)(lc->has_process ? w->pid : 0),
				  (int32_t)lc->exit.code, w->error);
}

/* ---- workers ------------------------------------------------------------ */

static int get_state(sd_bus *bus _unused_, const char *path _unused_,
		     const char *interface _unused_,
		     const char *property _unused_, sd_bus_message *reply,
		     void *userdata, sd_bus_error *error _unused_)
{
	const struct worker *w = userdata;

	return sd_bus_message_append(reply, "s",
				     worker_state_name(w->life.state));
}

static int get_pid(sd_bus *bus _unused_, const char *path _unused_,
		   const char *interface _unused_,
		   const char *property _unused_, sd_bus_message *reply,
		   void *userdata, sd_bus_error *error _unused_)
{
	const struct worker *w = userdata;

	return sd_bus_message_append(
		reply, "u", (uint32_t)(w->life.has_process ? w->pid : 0));
}

static int get_group(sd_bus *bus _unused_, const char *path _unused_,
		     const char *interface _unused_,
		     const char *property _unused_, sd_bus_message *reply,
		     void *userdata, sd_bus_error *error _unused_)
{
	const struct worker *w = userdata;

	return sd_bus_message_append(reply, "s", w->settings->group_name);
}

static int get_error(sd_bus *bus _unused_, const char *path _unused_,
		     const char *interface _unused_,
		     const char *property _unused_, sd_bus_message *reply,
		     void *userdata, sd_bus_error *error _unused_)
{
	const struct worker *w = userdata;

	return sd_bus_message_append(reply, "s", w->error);
}

/* NOLINTEND(readability-function-size) */

#define AT(field) offsetof(struct worker, field)

static const sd_bus_vtable worker_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Name", "s", NULL, AT(name),
			SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Group", "s", get_group, 0, 0),
	SD_BUS_PROPERTY("State", "s", get_state, 0, 0),
	SD_BUS_PROPERTY("Pid", "u", get_pid, 0, 0),
	SD_BUS_PROPERTY("Restarts", "t", NULL, AT(life.restarts), 0),
	SD_BUS_PROPERTY("Recycles", "t", NULL, AT(life.recycles), 0),
	SD_BUS_PROPERTY("Tasks", "t", NULL, AT(tasks), 0),
	SD_BUS_PROPERTY("ExitCode", "i", NULL, AT(life.exit.code), 0),
	SD_BUS_PROPERTY("StatusText", "s", NULL, AT(status), 0),
	SD_BUS_PROPERTY("Error", "s", get_error, 0, 0),
	SD_BUS_VTABLE_END,
};

static int find_worker(sd_bus *bus _unused_, const char *path,
		       const char *interface _unused_, void *userdata,
		       void **ret_found, sd_bus_error *error _unused_)
{
	const struct client *c = userdata;
	char *name = NULL;
	int r;

	if (!control_may(c, ACCESS_READ))
		return 0;
	r = sd_bus_path_decode(path, REEVE_BUS_WORKER_PATH, &name);
	if (r <= 0)
		return r;
	*ret_found = fleet_by_name(&c->daemon->fleet, name);
	free(name);
	return *ret_found ? 1 : 0;
}

static char **free_paths(char **paths)
{
	for (char **p = paths; p && *p; p++)
		free(*p);
	free(paths);
	return NULL;
}

static int list_workers(sd_bus *bus _unused_, const char *prefix _unused_,
			void *userdata, char ***ret_nodes,
			sd_bus_error *error _unused_)
{
	const struct client *c = userdata;
	const struct fleet *f = &c->daemon->fleet;
	char **nodes = calloc(f->n_workers + 1, sizeof(char *));
	int r = nodes ? 0 : -ENOMEM;

	for (size_t i = 0; i < f->n_workers && r >= 0; i++)
		r = sd_bus_path_encode(REEVE_BUS_WORKER_PATH,
				       f->workers[i]->name, &nodes[i]);
	if (r < 0) {
		free_paths(nodes);
		return r;
	}
	*ret_nodes = nodes;
	return 0;
}

int objects_attach_workers(struct client *c)
{
	int r;

	r = sd_bus_add_fallback_vtable(c->bus, &c->slots[1],
				       REEVE_BUS_WORKER_PATH,
				       REEVE_BUS_WORKER_INTERFACE,
				       worker_vtable, find_worker, c);
	if (r < 0)
		return r;
	return sd_bus_add_node_enumerator(
		c->bus, &c->slots[2], REEVE_BUS_WORKER_PATH, list_workers, c);
}
