/* The schema: the one table of all keys.
 *
 * A key exists if and only if it has a row here. Parsing, defaults, checking,
 * the dump of the effective configuration, the reload plan and reeve.ini(5)
 * are all driven by it. To add a key: a field in conf/settings.h, a row in
 * conf/schema.c, a test value in tests/unit/test_conf_schema.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/types.h"

enum schema_section {
	SECTION_REEVE,
	SECTION_WORKER,
	SECTION_GROUP,
	SECTION_INCLUDE,
	SECTION_COUNT
};

/* One spelling of a value; the first of several with one value is shown. */
struct schema_word {
	const char *word; /* NULL ends the list */
	int value;
};

struct schema_row {
	enum schema_section section;
	const char *key;
	enum type_id type;
	size_t offset;		  /* of its field in the section's struct */
	size_t offset2;		  /* of a second one, where the type has two */
	const char *default_text; /* parsed by the same code; "": unset */
	int64_t min, max;	  /* max 0: the type's own limit */
	const struct schema_word *words; /* TYPE_ENUM */
	bool needs_restart; /* else a change takes effect without one */
	const char *doc;    /* one line */
};

/* All rows, those of one section side by side. */
extern const struct schema_row schema_rows[];

/* first: index of the section's first row. */
struct schema_range {
	size_t first, n;
};
struct schema_range schema_range(enum schema_section section);

/* The row of key (any case, as ConfigParser has it; older and supervisord's
 * names too), or NULL. */
const struct schema_row *schema_find(enum schema_section section,
				     const char *key);
size_t schema_index(const struct schema_row *row);

/* The key nearest to word, or NULL. */
const char *schema_nearest(enum schema_section section, const char *word);

const char *schema_section_name(enum schema_section section);
