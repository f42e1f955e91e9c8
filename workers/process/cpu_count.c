/* How many CPUs this process may use: reeve_cpu_count().
 *
 * Three bounds, the least of which counts: the CPUs that are there, those of
 * our affinity mask (taskset, cpusets; sched_getaffinity(2) has both), and the
 * time that cgroup v2 grants to our group and to each one above it: in a
 * container with --cpus=2 on a machine of 64, 64 workers would only be stopped
 * by turns. What cannot be read sets no bound; the answer is never below 1.
 */
#include "workers/process/cpu_count.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <reeve/process.h>

#include "workers/base/pure/macro.h"
#include "workers/base/pure/parse.h"
#include "workers/base/sys/cgroup_path.h"
#include "workers/base/sys/fd.h"

#define MOUNTINFO_MAX (4 << 20)
#define CPU_MAX_BYTES 128
#define CPUS_MAX      65536 /* of the largest affinity mask that is asked for */

unsigned cpu_count_of_quota(const char *cpu_max)
{
	char text[CPU_MAX_BYTES], *period_text;
	uint64_t quota, period;

	(void)snprintf(text, sizeof(text), "%s", cpu_max);
	text[strcspn(text, "\n")] = '\0';
	period_text = strchr(text, ' ');
	if (!period_text)
		return 0;
	*period_text++ = '\0';
	if (parse_u64(text, 1, UINT64_MAX / 2, &quota) < 0 ||
	    parse_u64(period_text, 1, UINT64_MAX / 2, &period) < 0)
		return 0;
	return (unsigned)MIN((quota + period - 1) / period, (uint64_t)UINT_MAX);
}

static unsigned least(unsigned a, unsigned b)
{
	if (a == 0 || b == 0)
		return MAX(a, b);
	return MIN(a, b);
}

unsigned cpu_count_of_group(const char *mount_point, const char *group)
{
	_cleanup_(free_pointer) char *path = NULL;
	unsigned count = 0;

	if (asprintf(&path, "%s%s", mount_point, group) < 0) {
		path = NULL;
		return 0;
	}
	for (;;) {
		_cleanup_(free_pointer) char *file =
			cgroup_path_join(path, "cpu.max");
		_cleanup_(free_pointer) char *text = NULL;
		char *slash = strrchr(path, '/');

		if (file && fd_read_file(AT_FDCWD, file, CPU_MAX_BYTES - 1,
					 &text, NULL) == 0)
			count = least(count, cpu_count_of_quota(text));
		if (!slash || strlen(path) <= strlen(mount_point))
			return count;
		*slash = '\0';
	}
}

/* Our group, in the first cgroup v2 mount that shows it. */
static unsigned count_of_own_group(void)
{
	_cleanup_(free_pointer) char *group = NULL;
	_cleanup_(free_pointer) char *text = NULL;
	char *line, *end;

	if (cgroup_path_read("self", &group) < 0 ||
	    fd_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text,
			 NULL) < 0)
		return 0;
	for (line = text; *line; line = end) {
		const char *below;
		char *root, *point;

		end = strchrnul(line, '\n');
		if (*end)
			*end++ = '\0';
		if (!cgroup_path_parse_mount(line, &root, &point))
			continue;
		below = cgroup_path_below(group, root);
		if (below)
			return cpu_count_of_group(point, below);
	}
	return 0;
}

/* The kernel says EINVAL to a mask that is shorter than its own. */
static unsigned count_of_affinity(void)
{
	for (size_t n = CPU_SETSIZE; n <= CPUS_MAX; n *= 2) {
		size_t size = CPU_ALLOC_SIZE(n);
		cpu_set_t *cpus = CPU_ALLOC(n);
		int r, count = 0;

		if (!cpus)
			return 0;
		r = sched_getaffinity(0, size, cpus) < 0 ? -errno : 0;
		if (r == 0)
			count = CPU_COUNT_S(size, cpus);
		CPU_FREE(cpus);
		if (r != -EINVAL)
			return (unsigned)count;
	}
	return 0;
}

unsigned reeve_cpu_count(void)
{
	unsigned count = count_of_affinity();
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	if (count == 0 && online > 0)
		count = (unsigned)online;
	count = least(count, count_of_own_group());
	return MAX(count, 1U);
}
