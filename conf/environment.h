/* environment = KEY="val",KEY2='v',KEY3=plain: supervisord's way to write
 * variables.
 *
 * Pairs are separated by commas; blanks and newlines around them do not
 * matter. A value may stand in single or double quotes, within which a comma
 * is a letter; there are no escapes, so a value holds the other kind of quote
 * or none. The value is a template; the key is not.
 */
#pragma once

#include <stddef.h>

#include "conf/arena.h"
#include "conf/settings.h"
#include "workers/base/pure/buf.h"

#define ENVIRONMENT_MAX	       500 /* pairs */
#define ENVIRONMENT_REASON_MAX 256

/* Returns 0, -ENOMEM, or -EINVAL with what is wrong in reason. The entries
 * are memory of a. */
int environment_parse(const char *text, struct arena *a,
		      struct environment_entry **ret_entries,
		      size_t *ret_n_entries,
		      char reason[static ENVIRONMENT_REASON_MAX]);

/* Appends the pairs as environment_parse() reads them, or the keys only.
 * Returns 0 or -ENOMEM. */
int environment_format(const struct environment_entry *entries,
		       size_t n_entries, bool with_values, struct buf *out);
