/* See broker.h. Answers that are true of a bus with two names on it: the
 * client's and ours. Nothing is kept but that a client monitors.
 */
#include "supervisor/daemon/broker.h"

#include "supervisor/daemon/control.h"
#include "workers/base/pure/macro.h"

#define CLIENT_NAME ":1.1" /* each client is alone on its connection */
#define DBUS_NAME   "org.freedesktop.DBus"
#define DBUS_PATH   "/org/freedesktop/DBus"

static int on_hello(sd_bus_message *m, void *userdata _unused_,
		    sd_bus_error *error _unused_)
{
	return sd_bus_reply_method_return(m, "s", CLIENT_NAME);
}

static int on_match(sd_bus_message *m, void *userdata _unused_,
		    sd_bus_error *error _unused_)
{
	/* Every signal goes to every client: there is nothing to filter. */
	return sd_bus_reply_method_return(m, "");
}

static int on_list_names(sd_bus_message *m, void *userdata _unused_,
			 sd_bus_error *error _unused_)
{
	return sd_bus_reply_method_return(m, "as", 4, DBUS_NAME, REEVE_BUS_NAME,
					  BROKER_DAEMON_NAME, CLIENT_NAME);
}

static int on_list_activatable(sd_bus_message *m, void *userdata _unused_,
			       sd_bus_error *error _unused_)
{
	return sd_bus_reply_method_return(m, "as", 0);
}

static int on_name_owner(sd_bus_message *m, void *userdata _unused_,
			 sd_bus_error *error _unused_)
{
	return sd_bus_reply_method_return(m, "s", BROKER_DAEMON_NAME);
}

static int on_name_has_owner(sd_bus_message *m, void *userdata _unused_,
			     sd_bus_error *error _unused_)
{
	return sd_bus_reply_method_return(m, "b", 1);
}

/* busctl monitor waits for the loss of its name as the sign that it is one. */
static int on_become_monitor(sd_bus_message *m, void *userdata,
			     sd_bus_error *error _unused_)
{
	struct client *c = userdata;
	sd_bus_message *lost = NULL;
	int r;

	r = sd_bus_reply_method_return(m, "");
	if (r < 0)
		return r;
	c->is_monitor = true;
	r = sd_bus_message_new_signal(c->bus, &lost, DBUS_PATH, DBUS_NAME,
				      "NameLost");
	if (r >= 0)
		r = sd_bus_message_append(lost, "s", CLIENT_NAME);
	if (r >= 0)
		r = sd_bus_message_set_sender(lost, DBUS_NAME);
	if (r >= 0)
		r = sd_bus_send(c->bus, lost, NULL);
	sd_bus_message_unref(lost);
	return r < 0 ? r : 1;
}

#define OPEN SD_BUS_VTABLE_UNPRIVILEGED

static const sd_bus_vtable dbus_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Hello", "", "s", on_hello, OPEN),
	SD_BUS_METHOD("AddMatch", "s", "", on_match, OPEN),
	SD_BUS_METHOD("RemoveMatch", "s", "", on_match, OPEN),
	SD_BUS_METHOD("ListNames", "", "as", on_list_names, OPEN),
	SD_BUS_METHOD("ListActivatableNames", "", "as", on_list_activatable,
		      OPEN),
	SD_BUS_METHOD("GetNameOwner", "s", "s", on_name_owner, OPEN),
	SD_BUS_METHOD("NameHasOwner", "s", "b", on_name_has_owner, OPEN),
	SD_BUS_SIGNAL("NameLost", "s", 0),
	SD_BUS_VTABLE_END,
};

static const sd_bus_vtable monitoring_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("BecomeMonitor", "asu", "", on_become_monitor, OPEN),
	SD_BUS_VTABLE_END,
};

int broker_attach(struct client *c, sd_bus_slot **ret_slot)
{
	int r;

	r = sd_bus_add_object_vtable(c->bus, NULL, DBUS_PATH,
				     DBUS_NAME ".Monitoring", monitoring_vtable,
				     c);
	if (r < 0)
		return r;
	return sd_bus_add_object_vtable(c->bus, ret_slot, DBUS_PATH, DBUS_NAME,
					dbus_vtable, c);
}
