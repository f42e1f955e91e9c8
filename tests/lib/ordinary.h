/* A reeved that runs as an ordinary user, in tests that are run by root. */
#pragma once

/* From here on $REEVED, as the rig starts it, becomes a user of its own, who
 * has no other process: whom files are closed to, whom the kernel counts and to
 * whom limits apply. Returns the number of user and group. The caller must be
 * root. */
int ordinary_reeved(void);
