/* How many instructions lie between two kills of a test that steps: a sanitizer
 * makes some dozens of one. */
#pragma once

#ifdef __SANITIZE_ADDRESS__
#define STEP_FACTOR 60
#else
#define STEP_FACTOR 1
#endif
