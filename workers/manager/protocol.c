/* The rows of the verbs; see protocol.h. */
#include "workers/manager/protocol.h"

#include <reeve/manager.h>

/* A string of arguments says "*" behind the last: as many more of these. */
#define X(name, kinds, arguments, results, waits, meaning)                     \
	_Static_assert(sizeof(arguments) - 1 <= PROTOCOL_ARGUMENTS &&          \
			       sizeof(results) - 1 <= PROTOCOL_ARGUMENTS,      \
		       #name);
VERBS(X)
#undef X

const struct verb_row verb_rows[VERB_COUNT] = {
#define X(name, kinds, arguments, results, waits, meaning)                     \
	[VERB_##name] = { #name, kinds, arguments, results, waits, meaning },
	VERBS(X)
#undef X
};
