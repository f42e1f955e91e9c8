/* memory.events.local counts for our cgroup alone; where the kernel has only
 * memory.events, which adds those below, that has to do. Without the memory
 * controller, or under cgroup v1, the answer is "unknown".
 */
#include "workers/pool/keeper_oom.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/base/pure/macro.h"
#include "workers/base/sys/cgroup_path.h"
#include "workers/base/sys/fd.h"

#define EVENTS_TEXT_MAX 1024
#define MOUNTINFO_MAX	(1 << 20)

/* Returns false when there is no such count. */
static bool read_count(int fd, uint64_t *ret_n)
{
	static const char key[] = "oom_kill ";
	char text[EVENTS_TEXT_MAX], *line;
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

	if (len <= 0)
		return false;
	text[len] = '\0';
	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, sizeof(key) - 1) != 0)
			continue;
		*ret_n = strtoull(line + sizeof(key) - 1, NULL, 10);
		return true;
	}
	return false;
}

/* The directory of our cgroup v2 in a new string, or NULL. */
static char *find_directory(const char *group)
{
	_cleanup_(free_pointer) char *mounts = NULL;
	char *next, *root, *point;

	if (fd_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX,
			 &mounts, NULL) < 0)
		return NULL;
	for (char *line = mounts; line && *line; line = next) {
		const char *below;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (!cgroup_path_parse_mount(line, &root, &point))
			continue;
		below = cgroup_path_below(group, root);
		if (below)
			return cgroup_path_join(point, *below ? below + 1 : "");
	}
	return NULL;
}

static int open_events(const char *directory, const char *name)
{
	_cleanup_(free_pointer) char *path = cgroup_path_join(directory, name);

	return path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

void oom_init(struct oom *oom, int fd)
{
	*oom = (struct oom){ .fd = fd };
	if (fd >= 0 && !read_count(fd, &oom->n_kills))
		oom_done(oom);
}

void oom_open(struct oom *oom)
{
	_cleanup_(free_pointer) char *group = NULL, *directory = NULL;
	int fd = -1;

	if (cgroup_path_read("self", &group) == 0)
		directory = find_directory(group);
	if (directory)
		fd = open_events(directory, "memory.events.local");
	if (directory && fd < 0)
		fd = open_events(directory, "memory.events");
	oom_init(oom, fd);
}

enum seat_oom oom_judge(struct oom *oom)
{
	uint64_t n;

	if (oom->fd < 0 || !read_count(oom->fd, &n))
		return OOM_UNKNOWN;
	if (n <= oom->n_kills)
		return OOM_NO;
	oom->n_kills++;
	return OOM_YES;
}

void oom_done(struct oom *oom)
{
	oom->fd = fd_close(oom->fd);
}
