/* Is a text JSON? A validator that owes nothing to the writer under test. */
#pragma once

#include <stdbool.h>

#define JSON_TEXT_DEPTH_MAX 64

/* True when text is one JSON value, or several with blanks or newlines between
 * them (JSON lines). Strings must be UTF-8 without raw control characters. */
bool json_text_is_valid(const char *text);
