/* An input as a script: each byte says what is done next, or with what. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct script {
	const uint8_t *data;
	size_t left;
};

/* The next byte; 0 when it is over. */
static inline uint8_t script_take(struct script *s)
{
	if (s->left == 0)
		return 0;
	s->left--;
	return *s->data++;
}
