/* See control.h. A client is made in on_listener(), judged once by the
 * credentials of its socket, and freed in control_sweep() only: until then
 * sd-bus may be inside one of its callbacks. What it does wrong drops it, and
 * nobody else: not reading, not finishing a message, coming too often.
 */
#include "supervisor/daemon/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "supervisor/daemon/broker.h"
#include "supervisor/daemon/daemon.h"
#include "supervisor/daemon/job.h"
#include "supervisor/daemon/methods.h"
#include "supervisor/daemon/objects.h"
#include "supervisor/daemon/reload.h"
#include "supervisor/daemon/worker.h"
#include "workers/base/pure/usec.h"
#include "workers/base/sys/clock.h"
#include "workers/base/sys/fd.h"
#include "workers/base/sys/log.h"

#define ACCEPTS_PER_DISPATCH 16

/* ---- one client --------------------------------------------------------- */

static struct client *client_free(struct client *c)
{
	if (!c)
		return NULL;
	hub_disarm(&c->daemon->hub, &c->unfinished);
	sd_event_source_disable_unref(c->peek);
	fd_close(c->peek_fd);
	for (size_t i = 0; i < ARRAY_SIZE(c->slots); i++)
		sd_bus_slot_unref(c->slots[i]);
	if (c->bus) {
		sd_bus_detach_event(c->bus);
		sd_bus_close_unref(c->bus);
	}
	free(c->groups);
	free(c);
	return NULL;
}

/* Not freed here: sd-bus or a loop over the clients may be on the stack. */
static void client_drop(struct client *c, const char *why)
{
	if (c->is_dead)
		return;
	if (why)
		log_notice("client of uid %d dropped: %s", (int)c->uid, why);
	c->is_dead = true;
	c->daemon->control.has_dead = true;
	(void)sd_event_source_set_enabled(c->peek, SD_EVENT_OFF);
	hub_disarm(&c->daemon->hub, &c->unfinished);
	hub_request_turn(&c->daemon->hub);
}

static void on_unfinished(struct timer *t, uint64_t now_usec _unused_)
{
	client_drop(container_of(t, struct client, unfinished),
		    "began a message and did not finish it");
}

static void expect_message(struct client *c)
{
	hub_arm(&c->daemon->hub, &c->unfinished,
		usec_add(clock_monotonic_usec(), CONTROL_MESSAGE_USEC));
}

/* Bytes have come (edge-triggered, so that sd-bus gets to read them): when
 * they make no whole message in time, the client is cut off. */
static int on_peek(sd_event_source *source _unused_, int fd _unused_,
		   uint32_t revents _unused_, void *userdata)
{
	struct client *c = userdata;

	if (!heap_contains(&c->unfinished.node))
		expect_message(c);
	return 0;
}

/* A whole message: sees all of them before the handlers do. sd-bus reads one
 * message at a time, so what is left in the socket begins the next one. */
static int on_message(sd_bus_message *m _unused_, void *userdata,
		      sd_bus_error *error _unused_)
{
	struct client *c = userdata;
	uint64_t n_queued = 0;
	int n_left = 0;

	hub_disarm(&c->daemon->hub, &c->unfinished);
	if (ioctl(c->peek_fd, FIONREAD, &n_left) == 0 && n_left > 0)
		expect_message(c);
	(void)sd_bus_get_n_queued_write(c->bus, &n_queued);
	if (n_queued > CONTROL_QUEUE_MAX)
		client_drop(c, "does not read what it asks for");
	return c->is_dead ? 1 : 0;
}

static int on_disconnected(sd_bus_message *m _unused_, void *userdata,
			   sd_bus_error *error _unused_)
{
	client_drop(userdata, NULL);
	return 0;
}

static int read_peer(struct client *c, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	gid_t groups[256];

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	c->uid = cred.uid;
	len = sizeof(groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		len = 0; /* more than fit: judged by the primary group */
	c->n_groups = 1 + len / sizeof(gid_t);
	c->groups = calloc(c->n_groups, sizeof(gid_t));
	if (!c->groups)
		return -ENOMEM;
	c->groups[0] = cred.gid;
	memcpy(c->groups + 1, groups, len);
	return 0;
}

static bool is_privileged(const struct client *c)
{
	return c->uid == 0 || c->uid == geteuid();
}

bool control_may(const struct client *c, enum verb_access access)
{
	const struct daemon_settings *ds =
		&c->daemon->generation->settings->daemon;

	if (is_privileged(c))
		return true;
	if (access == ACCESS_OWNER)
		return false;
	if (access == ACCESS_READ && ds->public_status)
		return true;
	if (ds->control_gid == (gid_t)-1)
		return false;
	for (size_t i = 0; i < c->n_groups; i++)
		if (c->groups[i] == ds->control_gid)
			return true;
	return false;
}

/* Is there room for one more of this user? */
static bool has_room(const struct control *ctl, const struct client *new)
{
	size_t limit =
		CONTROL_MAX + (is_privileged(new) ? CONTROL_RESERVED : 0);
	size_t of_uid = 0;
	const struct client *c;

	LIST_FOREACH(c, &ctl->clients, entry)
	of_uid += c->uid == new->uid;
	return ctl->n_clients < limit && of_uid < CONTROL_PER_UID;
}

/* fd becomes the bus's. */
static int start_bus(struct client *c, int fd)
{
	sd_id128_t id;
	int r;

	r = sd_bus_new(&c->bus);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	r = sd_bus_set_fd(c->bus, fd, fd);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	r = sd_id128_randomize(&id);
	if (r >= 0)
		r = sd_bus_set_server(c->bus, 1, id);
	if (r >= 0)
		r = sd_bus_negotiate_fds(c->bus, 1);
	if (r >= 0)
		r = sd_bus_set_sender(c->bus, BROKER_DAEMON_NAME);
	if (r >= 0)
		r = sd_bus_add_filter(c->bus, &c->slots[3], on_message, c);
	if (r >= 0)
		r = sd_bus_match_signal(c->bus, &c->slots[4], NULL,
					"/org/freedesktop/DBus/Local",
					"org.freedesktop.DBus.Local",
					"Disconnected", on_disconnected, c);
	if (r >= 0)
		r = broker_attach(c, &c->slots[5]);
	if (r >= 0)
		r = methods_attach(c);
	if (r >= 0)
		r = sd_bus_start(c->bus);
	if (r >= 0)
		r = sd_bus_attach_event(c->bus, c->daemon->hub.event,
					HUB_PRIORITY_CONTROL);
	return r < 0 ? r : 0;
}

static int watch_peek(struct client *c)
{
	int r;

	r = sd_event_add_io(c->daemon->hub.event, &c->peek, c->peek_fd,
			    EPOLLIN | EPOLLET, on_peek, c);
	if (r < 0)
		return r;
	return sd_event_source_set_priority(c->peek, HUB_PRIORITY_CONTROL - 1);
}

/* Takes fd. */
static int client_new(struct daemon *d, int fd)
{
	struct client *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		fd_close(fd);
		return -ENOMEM;
	}
	c->daemon = d;
	c->unfinished.on_time = on_unfinished;
	c->peek_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	r = c->peek_fd < 0 ? -errno : read_peer(c, fd);
	if (r == 0 && !has_room(&d->control, c))
		r = -EUSERS;
	if (r < 0) {
		fd_close(fd);
		client_free(c);
		return r;
	}
	r = start_bus(c, fd);
	if (r == 0)
		r = watch_peek(c);
	if (r < 0) {
		client_free(c);
		return r;
	}
	LIST_INSERT_HEAD(&d->control.clients, c, entry);
	d->control.n_clients++;
	/* sd-bus may have read the beginning already, which no edge tells. */
	expect_message(c);
	return 0;
}

void control_sweep(struct daemon *d)
{
	struct control *ctl = &d->control;
	struct client *c, *next;

	if (!ctl->has_dead)
		return;
	ctl->has_dead = false;
	for (c = LIST_FIRST(&ctl->clients); c; c = next) {
		next = LIST_NEXT(c, entry);
		if (!c->is_dead)
			continue;
		job_client_gone(c);
		reload_client_gone(d, c);
		LIST_REMOVE(c, entry);
		ctl->n_clients--;
		client_free(c);
	}
}

void control_answered(struct client *c, int r)
{
	if (r < 0)
		client_drop(c, "its answer could not be sent");
}

void control_state_changed(struct worker *w, enum worker_state from)
{
	struct client *c;

	LIST_FOREACH(c, &w->daemon->control.clients, entry)
	{
		uint64_t n_queued = 0;

		if (c->is_dead || sd_bus_is_ready(c->bus) <= 0)
			continue;
		if (objects_emit_change(c, w, from) < 0) {
			client_drop(c, NULL); /* it has hung up */
			continue;
		}
		(void)sd_bus_get_n_queued_write(c->bus, &n_queued);
		if (n_queued > CONTROL_QUEUE_MAX)
			client_drop(c, "does not read what it is told");
	}
}

/* ---- the listener ------------------------------------------------------- */

static void on_pause_over(struct timer *t, uint64_t now_usec _unused_)
{
	struct control *ctl = container_of(t, struct control, pause);

	(void)sd_event_source_set_enabled(ctl->listener, SD_EVENT_ON);
}

static int on_listener(sd_event_source *source _unused_, int fd,
		       uint32_t revents _unused_, void *userdata)
{
	struct daemon *d = userdata;

	for (int i = 0; i < ACCEPTS_PER_DISPATCH; i++) {
		int client =
			accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		int r;

		if (client >= 0) {
			d->control.is_short = false;
			r = client_new(d, client);
			if (r < 0)
				log_debug("client turned away: %s",
					  strerror(-r));
			continue;
		}
		if (errno == EAGAIN)
			return 0;
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		/* No fd or no memory: rest, instead of being woken for the
		 * same client for ever. */
		if (!d->control.is_short)
			log_warning("cannot accept clients: %s",
				    strerror(errno));
		d->control.is_short = true;
		(void)sd_event_source_set_enabled(d->control.listener,
						  SD_EVENT_OFF);
		hub_arm(&d->hub, &d->control.pause,
			usec_add(clock_monotonic_usec(), CONTROL_PAUSE_USEC));
		return 0;
	}
	return 0;
}

/* Owner and mode are right before anybody can connect: the socket is bound
 * under umask 0177 and opened up when the group is set. */
static int bind_socket(struct daemon *d, const char *path)
{
	const struct daemon_settings *ds = &d->generation->settings->daemon;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	mode_t mode = ds->public_status		     ? 0666
		      : ds->control_gid != (gid_t)-1 ? 0660
						     : 0600;
	mode_t old;
	int r;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path));
	d->control.listen_fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->control.listen_fd < 0)
		return -errno;
	(void)unlink(path); /* ours: we hold the lock of the directory */
	old = umask(0177);
	r = bind(d->control.listen_fd, (struct sockaddr *)&addr, sizeof(addr));
	umask(old);
	if (r < 0)
		return -errno;
	if (ds->control_gid != (gid_t)-1 &&
	    chown(path, (uid_t)-1, ds->control_gid) < 0)
		return -errno;
	if (chmod(path, mode) < 0)
		return -errno;
	return listen(d->control.listen_fd, SOMAXCONN) < 0 ? -errno : 0;
}

int control_init(struct daemon *d, const char *path)
{
	struct control *ctl = &d->control;
	int r;

	ctl->pause.on_time = on_pause_over;
	r = bind_socket(d, path);
	if (r < 0) {
		log_error("cannot listen on %s: %s", path, strerror(-r));
		return r;
	}
	r = sd_event_add_io(d->hub.event, &ctl->listener, ctl->listen_fd,
			    EPOLLIN, on_listener, d);
	if (r < 0)
		return r;
	return sd_event_source_set_priority(ctl->listener,
					    HUB_PRIORITY_CONTROL);
}

void control_done(struct daemon *d)
{
	struct control *ctl = &d->control;
	struct client *c;

	/* Last words, without waiting for a client that does not read. */
	LIST_FOREACH(c, &ctl->clients, entry)
	(void)sd_bus_process(c->bus, NULL);
	job_end_all(d);
	LIST_FOREACH(c, &ctl->clients, entry)
	client_drop(c, NULL);
	control_sweep(d);
	hub_disarm(&d->hub, &ctl->pause);
	ctl->listener = sd_event_source_disable_unref(ctl->listener);
	ctl->listen_fd = fd_close(ctl->listen_fd);
}
