/* Is it UTF-8? What is shown over D-Bus and JSON, and what
 * a Manager keeps as a string, must be. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Shortest forms only, no surrogates, nothing over U+10FFFF. */
bool utf8_is_valid(const char *s, size_t len);
