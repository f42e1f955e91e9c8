/* See reloading.h. */
#include "tests/lib/reloading.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/rig.h"

char *rig_reload(struct rig *r)
{
	char *plan, *problems;
	int code = rig_reeve(r, &plan, &problems, "reload", NULL);

	ck_assert_msg(code == 0, "reload: exit code %d: %s", code, problems);
	free(problems);
	return plan;
}

bool rig_plan_has(const char *plan, const char *action, const char *name,
		  const char *detail)
{
	char line[512], a[128], n[128], d[256];
	size_t len;

	for (const char *p = plan; *p; p += len + (p[len] == '\n')) {
		len = strcspn(p, "\n");
		snprintf(line, sizeof(line), "%.*s", (int)len, p);
		a[0] = n[0] = d[0] = '\0';
		if (sscanf(line, "%127s %127s %255[^\n]", a, n, d) >= 2 &&
		    strcmp(a, action) == 0 && strcmp(n, name) == 0 &&
		    strstr(d, detail))
			return true;
	}
	return false;
}
