/* See ordinary.h. */
#include "tests/lib/ordinary.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/unit.h"

#define FIRST_ID 1000000 /* beyond those of people and services */

int ordinary_reeved(void)
{
	/* $2: the configuration in the rig's directory */
	static const char script[] =
		"#!/bin/sh\n"
		"mkdir -p \"${2%%/*}/run\"\n"
		"chown -R %d \"${2%%/*}/run\" \"${2%%/*}/log\"\n"
		"exec setpriv --reuid %d --regid %d --clear-groups -- '%s' "
		"\"$@\"\n";
	const char *reeved = getenv("REEVED");
	int id = FIRST_ID + getpid();
	char text[1024];

	snprintf(text, sizeof(text), script, id, id, id,
		 reeved ? reeved : "build/reeved");
	reeved = unit_file("as-somebody", text);
	ck_assert_int_eq(chmod(reeved, 0755), 0);
	ck_assert_int_eq(setenv("REEVED", reeved, 1), 0);
	return id;
}
