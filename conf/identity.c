/* Users and groups by NSS: conf_resolver_nss. Blocks as long as NSS does (it
 * may ask a network), so reeved calls it at start, and in a helper process on
 * reload; never between fork and exec. */
#include "conf/conf.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/parse.h"

#define NSS_BUFFER_MIN 1024
#define NSS_BUFFER_MAX (1U << 20)
#define NSS_GROUPS_MAX 65536
#define ID_MAX	       (UINT32_MAX - 1) /* -1 means "none" */

/* getpwnam(3) lists these among what "not found" may look like. */
static bool means_not_found(int error)
{
	return error == 0 || error == ENOENT || error == ESRCH ||
	       error == EBADF || error == EPERM;
}

/* A lookup of a user by name or number; .by_number chooses. */
struct lookup {
	const char *name;
	bool by_number;
	uint32_t number;
};

static int try_user(const struct lookup *l, struct passwd *entry, char *buffer,
		    size_t size)
{
	struct passwd *found = NULL;
	int e;

	if (l->by_number)
		e = getpwuid_r(l->number, entry, buffer, size, &found);
	else
		e = getpwnam_r(l->name, entry, buffer, size, &found);
	if (found)
		return 0;
	return means_not_found(e) ? -ENOENT : -e;
}

static int try_group(const char *name, struct group *entry, char *buffer,
		     size_t size)
{
	struct group *found = NULL;
	int e = getgrnam_r(name, entry, buffer, size, &found);

	if (found)
		return 0;
	return means_not_found(e) ? -ENOENT : -e;
}

/* Looks l up with a buffer that grows as NSS asks for; the entry points into
 * *ret_buffer. */
static int find_user(const struct lookup *l, struct passwd *ret_entry,
		     char **ret_buffer)
{
	for (size_t size = NSS_BUFFER_MIN; size <= NSS_BUFFER_MAX; size *= 2) {
		_cleanup_(free_pointer) char *buffer = malloc(size);
		int r = buffer ? try_user(l, ret_entry, buffer, size) : -ENOMEM;

		if (r == 0)
			*ret_buffer = TAKE(buffer);
		if (r != -ERANGE)
			return r;
	}
	return -ERANGE;
}

static int find_group(const char *name, gid_t *ret_gid)
{
	for (size_t size = NSS_BUFFER_MIN; size <= NSS_BUFFER_MAX; size *= 2) {
		_cleanup_(free_pointer) char *buffer = malloc(size);
		struct group entry;
		int r = buffer ? try_group(name, &entry, buffer, size)
			       : -ENOMEM;

		if (r == 0)
			*ret_gid = entry.gr_gid;
		if (r != -ERANGE)
			return r;
	}
	return -ERANGE;
}

/* A name is asked for first: it may consist of digits. */
static int resolve_group(void *userdata _unused_, const char *group,
			 gid_t *ret_gid)
{
	uint64_t number = 0;
	int r;

	r = find_group(group, ret_gid);
	if (r != -ENOENT || parse_u64(group, 0, ID_MAX, &number) < 0)
		return r == -ENOENT ? -ENOTDIR : r;
	*ret_gid = (gid_t)number; /* a number needs no name */
	return 0;
}

static int list_groups(const char *user, gid_t gid, struct identity *identity)
{
	int n = 32;

	for (;;) {
		gid_t *groups = reallocarray(identity->groups, (size_t)n,
					     sizeof(*groups));
		int room = n;

		if (!groups)
			return -ENOMEM;
		identity->groups = groups;
		if (getgrouplist(user, gid, groups, &n) >= 0)
			break;
		n = MAX(n, 2 * room);
		if (n > NSS_GROUPS_MAX)
			return -E2BIG;
	}
	identity->n_groups = (size_t)n;
	return 0;
}

/* A uid without an entry is fine when a group is named: containers. */
static int nameless(uint32_t uid, const char *group,
		    struct identity *ret_identity)
{
	struct identity id = { .is_set = true, .uid = uid };
	int r;

	if (!group)
		return -ENOENT;
	r = resolve_group(NULL, group, &id.gid);
	if (r < 0)
		return r;
	id.groups = malloc(sizeof(*id.groups));
	if (!id.groups)
		return -ENOMEM;
	id.groups[0] = id.gid;
	id.n_groups = 1;
	*ret_identity = id;
	return 0;
}

static int fill_identity(const struct passwd *entry, const char *group,
			 struct identity *id)
{
	int r;

	id->is_set = true;
	id->uid = entry->pw_uid;
	id->gid = entry->pw_gid;
	id->name = strdup(entry->pw_name);
	id->home = strdup(entry->pw_dir);
	if (!id->name || !id->home)
		return -ENOMEM;
	if (group) {
		r = resolve_group(NULL, group, &id->gid);
		if (r < 0)
			return r;
	}
	return list_groups(entry->pw_name, id->gid, id);
}

static int resolve_identity(void *userdata _unused_, const char *user,
			    const char *group, struct identity *ret_identity)
{
	_cleanup_(free_pointer) char *buffer = NULL;
	struct lookup l = { .name = user };
	struct identity id = { 0 };
	struct passwd entry;
	uint64_t number = 0;
	bool is_number;
	int r;

	r = find_user(&l, &entry, &buffer);
	is_number = parse_u64(user, 0, ID_MAX, &number) == 0;
	if (r == -ENOENT && is_number) {
		l.by_number = true;
		l.number = (uint32_t)number;
		r = find_user(&l, &entry, &buffer);
		if (r == -ENOENT)
			return nameless(l.number, group, ret_identity);
	}
	if (r < 0)
		return r;
	r = fill_identity(&entry, group, &id);
	if (r < 0) {
		free(id.name);
		free(id.home);
		free(id.groups);
		return r;
	}
	*ret_identity = id;
	return 0;
}

const struct conf_resolver conf_resolver_nss = {
	.identity = resolve_identity,
	.group = resolve_group,
};
