/* The types of values: for each a parser, a formatter and a comparer.
 *
 * What a formatter writes, the parser reads as the same value. Parsers say
 * what is wrong and what would be right in one clause, to which the loader
 * adds file, line, key and section.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/arena.h"
#include "workers/base/pure/buf.h"

#define TYPES_REASON_MAX 512

/* name, how reeve.ini(5) calls it, may hold expansions that are only known
 * for each process */
#define TYPES(X)                                                               \
	X(BOOL, "yes or no", false)                                            \
	X(U32, "number", false)                                                \
	X(I32, "number", false)                                                \
	X(U64, "number", false)                                                \
	X(PRIORITY, "number", false)                                           \
	X(INT, "number", false)                                                \
	X(USEC, "time span", false)                                            \
	X(USEC_AUTO, "time span or auto", false)                               \
	X(SIZE, "size", false)                                                 \
	X(UMASK, "octal mode", false)                                          \
	X(ENUM, "one of the words", false)                                     \
	X(STRING, "text", false)                                               \
	X(PATH, "path", false)                                                 \
	X(TEMPLATE, "text", true)                                              \
	X(NAMES, "list of names", false)                                       \
	X(FILES, "list of patterns", false)                                    \
	X(LADDER, "signals with waits", false)                                 \
	X(EXITCODES, "exit codes and signals", false)                          \
	X(RATE, "count/time span", false)                                      \
	X(RLIMIT_SIZE, "size, or soft:hard", false)                            \
	X(RLIMIT_COUNT, "number, or soft:hard", false)                         \
	X(RLIMIT_SECONDS, "time span, or soft:hard", false)                    \
	X(RLIMIT_USEC, "time span, or soft:hard", false)                       \
	X(CPUS, "list of CPUs", false)                                         \
	X(LOG, "path, AUTO, NONE, /dev/stdout or /dev/fd/N", true)             \
	X(ENVIRONMENT, "KEY=\"value\",...", true)                              \
	X(IGNORED, "ignored", false)

enum type_id {
#define X(name, text, is_template) TYPE_##name,
	TYPES(X)
#undef X
		TYPE_COUNT
};

struct schema_row;

/* One call of a parser. */
struct type_call {
	const struct schema_row *row;
	struct arena *arena; /* of what the value needs besides its field */
	char reason[TYPES_REASON_MAX];
};

struct type {
	const char *name;
	bool is_template;
	/* Puts text's value into base, a section's struct. Returns 0, -EINVAL
	 * with .reason, or -ENOMEM. */
	int (*parse)(struct type_call *call, const char *text, void *base);
	/* Appends the value as one would write it. */
	int (*format)(const struct schema_row *row, const void *base,
		      struct buf *out);
	bool (*equal)(const struct schema_row *row, const void *a,
		      const void *b);
};

extern const struct type types[TYPE_COUNT];

/* Sets the reason; returns -EINVAL. */
int type_refuse(struct type_call *call, const char *fmt, ...) _printf_(2, 3);

/* The row's fields in the section's struct base. */
void *type_field(const struct schema_row *row, void *base);
const void *type_field_const(const struct schema_row *row, const void *base);
void *type_field2(const struct schema_row *row, void *base);
const void *type_field2_const(const struct schema_row *row, const void *base);

/* The next word of a list separated by blanks or commas, copied to word.
 * Returns 1, 0 at the end, or -EINVAL when it does not fit. */
int type_next_word(const char **at, char *word, size_t size_bytes);

/* Appends a span exactly: seconds as a number, else with ms or us. */
int type_format_usec(uint64_t usec, struct buf *out);

/* A wait of a ladder's rung that is not given: stopwaitsecs. */
#define LADDER_WAIT_DEFAULT UINT64_MAX
/* TYPE_USEC_AUTO's "auto", until the loader puts in what it means. */
#define START_TIMEOUT_AUTO (UINT64_MAX - 1)

/* The parts that are in files of their own. */
#define TYPE_FUNCTIONS(name)                                                   \
	int type_parse_##name(struct type_call *call, const char *text,        \
			      void *base);                                     \
	int type_format_##name(const struct schema_row *row, const void *base, \
			       struct buf *out);                               \
	bool type_equal_##name(const struct schema_row *row, const void *a,    \
			       const void *b)
TYPE_FUNCTIONS(ladder);
TYPE_FUNCTIONS(exitcodes);
TYPE_FUNCTIONS(rate);
TYPE_FUNCTIONS(rlimit);
TYPE_FUNCTIONS(cpus);
TYPE_FUNCTIONS(log);
TYPE_FUNCTIONS(environment);
#undef TYPE_FUNCTIONS
