/* What of a section's templates becomes of one process: shared by the check
 * at load and by settings_instance_build(). See conf.h. */
#pragma once

#include <stdint.h>

#include "conf/arena.h"
#include "conf/expand.h"
#include "conf/settings.h"
#include "workers/base/pure/buf.h"

/* The longest text that a template may become. */
#define INSTANCE_TEXT_MAX (256U << 10)

/* PATH where none is set; as a login shell of root has it. */
#define INSTANCE_PATH                                                          \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The process that is meant. */
struct instance_of {
	const struct settings *settings;
	const struct worker_settings *worker;
	uint32_t number;
	char *const *environment; /* reeved's own */
};

/* The entries of templates with their values expanded, as memory of a.
 * Returns 0, -ENOMEM, or -EINVAL with the reason. */
int instance_expand_environment(const struct expand_layer *templates,
				const struct expand_names *names,
				struct arena *a, struct expand_layer *ret_layer,
				char reason[static EXPAND_REASON_MAX]);

/* All names that the templates of this process may use. The worker's own
 * environment is known to all but itself. Returns as above. */
int instance_names(const struct instance_of *of, struct arena *a,
		   struct expand_names *ret_names,
		   char reason[static EXPAND_REASON_MAX]);

/* Appends "web:0" or "mail". Returns as expand(). */
int instance_full_name(const struct worker_settings *worker,
		       const struct expand_names *names, struct buf *out,
		       char reason[static EXPAND_REASON_MAX]);

/* Appends path, made absolute by the directory of [reeve] when it has one. */
int instance_absolute(const struct settings *s, const char *path,
		      struct buf *out);
