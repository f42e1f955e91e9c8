/* The parts of reeve_cpu_count() that read cgroups; private, and for tests. */
#pragma once

/* CPUs that one cpu.max ("150000 100000", "max 100000") allows, rounded up; 0
 * when it sets no bound or is not of this form. Pure. */
unsigned cpu_count_of_quota(const char *cpu_max);

/* The least that group ("/a/b", of the hierarchy at mount_point) and the groups
 * above it allow; 0 when none sets a bound. */
unsigned cpu_count_of_group(const char *mount_point, const char *group);
